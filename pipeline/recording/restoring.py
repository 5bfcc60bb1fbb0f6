"""Gives MLflow runs of outputs that DVC took from its run cache, where nothing was executed.

They are told what an executed run is told, by the same functions. Trials of a search are not made anew,
only their table is kept; nor are durations and the machine, as nothing ran.
"""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.foundation.digests import digest_json
from pipeline.recording.finished_training import record_progress, record_training
from pipeline.repository.repository import Repository
from pipeline.repository.stage_outputs import TRAININGS, StageOutputs
from pipeline.tracking import provenance, tags
from pipeline.tracking.journal.journal import Journal
from pipeline.tracking.journal.journal_tracker import RestoringTracker
from pipeline.tracking.journal.parents import parent_run
from pipeline.tracking.runs.facts import facts_of
from pipeline.tracking.runs.matching import MissingRun


@dataclass(frozen=True)
class Restored:
    """What was restored of an experiment or of the working tree.

    Attributes:
      journal: holds the runs until it is delivered; None where there are none.
      runs: how many.
      failed: names of the runs whose files DVC does not have any more.
    """

    journal: Journal | None
    runs: int
    failed: tuple[str, ...]


def restore(
    outputs: StageOutputs, missing: Sequence[MissingRun], experiment: str, repository: Repository
) -> Restored:
    """Record runs of outputs that have none, in a journal that is to be delivered.

    A run whose files are gone is passed over. `experiment` is MLflow's name for the project.
    """
    # Drawing takes a second to import, which a sync that restores nothing shall not wait for.
    from pipeline.recording.finished_evaluation import FinishedEvaluation

    project_tags = _project_tags(outputs, repository)
    parent = parent_run(project_tags, outputs.params)
    declared = repository.declarations(outputs.commit if outputs.experiment else None)
    failed = []
    with (
        tempfile.TemporaryDirectory() as folder,
        RestoringTracker(outputs.workspace, experiment, parent, outputs.time) as tracker,
    ):
        evaluation = FinishedEvaluation(outputs, Path(folder))
        for each in missing:
            stage, candidate = each.stage, TRAININGS.get(each.stage)
            if not _is_there(outputs, stage):
                failed.append(candidate or stage)
                continue
            own_tags = _stage_tags(outputs, each, declared[stage].dependencies if stage in declared else ())
            key = digest_json(["restored", parent.key, stage, dict(outputs.lock.outputs_of(stage))])
            run = tracker.restored_run(candidate or stage, key, project_tags | own_tags)
            if candidate is None:
                evaluation.record(run)
                continue
            record_progress(run, outputs, candidate)
            record_training(run, outputs, candidate)
            if outputs.scores is not None:
                evaluation.record_scores(run, candidate)
    return Restored(tracker.journal, len(missing) - len(failed), tuple(failed))


def _is_there(outputs: StageOutputs, stage: str) -> bool:
    """Whether DVC still has what a run cannot be without: of a training, the whole folder of its model."""
    folder = outputs.workspace.model(TRAININGS[stage]) if stage in TRAININGS else None
    return facts_of(outputs, stage) is not None and (folder is None or outputs.find(folder) is not None)


def _project_tags(outputs: StageOutputs, repository: Repository) -> dict[str, str]:
    """Where the outputs are from. Of the code they say which commit has it; none of it was executed."""
    changes = [] if outputs.experiment else repository.changes(*provenance.DECISIVE_FILES)
    values = {
        tags.ORIGIN: provenance.origin(outputs.workspace.home),
        tags.DVC_EXPERIMENT: outputs.experiment,
        tags.DVC_BASELINE: outputs.baseline if outputs.experiment else "",
        tags.DVC_COMMIT: outputs.commit if outputs.experiment else "",
        "mlflow.source.name": "python -m pipeline sync",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": provenance.user(),
        **provenance.git_tags(outputs.commit, changes),
    }
    return {name: value for name, value in values.items() if value}


def _stage_tags(outputs: StageOutputs, missing: MissingRun, dependencies: Iterable[str]) -> dict[str, str]:
    stage = missing.stage
    inputs = outputs.lock.data_inputs(stage, dependencies)
    values = {
        tags.STAGE: stage,
        tags.KIND: tags.KIND_TRAINING if stage in TRAININGS else tags.KIND_EVALUATION,
        tags.DVC_HASH: outputs.main_hash(stage),
        tags.PARAMS_DIGEST: digest_json(outputs.params_of(stage)),
        tags.RESTORED_FROM: missing.original or "",
        **provenance.data_tags(inputs, outputs.read_json(outputs.workspace.source)),
    }
    return {name: value for name, value in values.items() if value}
