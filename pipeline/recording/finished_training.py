"""What a training that has ended tells its run."""

import csv

from pipeline.foundation.tracker import Run, log_epoch, log_training_data
from pipeline.repository.stage_outputs import StageOutputs
from pipeline.tracking.runs.facts import required, training_facts


def record_training(run: Run, outputs: StageOutputs, candidate: str) -> None:
    """All that it has not shown while it ran. Raises FileNotFoundError where an output is gone."""
    card = required(outputs.card(candidate))
    required(training_facts(outputs, candidate)).record(run)
    folder = required(outputs.find(outputs.workspace.model(candidate)))
    for file in sorted(folder.iterdir()):
        if file.suffix != ".keras":
            run.log_artifact(file)
    run.log_model(folder, card["model_digest"])


def record_progress(run: Run, outputs: StageOutputs, candidate: str) -> None:
    """What the training has shown while it ran, but for its speed: where nothing was executed."""
    workspace = outputs.workspace
    digest = required(outputs.card(candidate))["data_digest"]
    log_training_data(run, digest, outputs.read_json(workspace.split_metrics) or {})
    history = required(outputs.find(workspace.history(candidate)))
    with history.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            log_epoch(run, row)
