"""What the process of a stage tells MLflow, beside the epochs that a training shows while it runs."""

import tempfile
from pathlib import Path

from pipeline.foundation.digests import digest_json
from pipeline.foundation.tracker import Run
from pipeline.foundation.workspace import CANDIDATES
from pipeline.recording.finished_training import record_training
from pipeline.repository.stage_outputs import EVALUATION, TRAININGS, StageOutputs, outputs_of_running_stage
from pipeline.tracking.journal.journal_tracker import JournalTracker
from pipeline.tracking.runs.facts import required


def begin_run(tracker: JournalTracker) -> None:
    """Open the run of an evaluation, which then lasts as long as its stage; a training opens its own."""
    if tracker.stage == EVALUATION:
        inputs = _outputs(tracker).lock.stages[EVALUATION].inputs
        tracker.run(EVALUATION, digest_json([EVALUATION, dict(inputs), tracker.params]))


def record_stage(tracker: JournalTracker) -> None:
    """Tell MLflow what the stage has made, which has ended well; a failure to do so is only said."""
    if tracker.stage_run is None:
        return
    with tracker.failures_said():
        if tracker.stage in TRAININGS:
            record_training(tracker.stage_run, _outputs(tracker), TRAININGS[tracker.stage])
        elif tracker.stage == EVALUATION:
            _record_evaluation(tracker, tracker.stage_run)


def _record_evaluation(tracker: JournalTracker, run: Run) -> None:
    # Drawing takes a second to import, which no other stage shall wait for.
    from pipeline.recording.finished_evaluation import FinishedEvaluation

    outputs = _outputs(tracker)
    with tempfile.TemporaryDirectory() as folder:
        evaluation = FinishedEvaluation(outputs, Path(folder))
        evaluation.record(run)
        for candidate in CANDIDATES:
            digest = required(outputs.card(candidate))["model_digest"]
            evaluation.record_scores(tracker.run_of_model(digest), candidate)


def _outputs(tracker: JournalTracker) -> StageOutputs:
    return outputs_of_running_stage(tracker.workspace, tracker.stage, tracker.params)
