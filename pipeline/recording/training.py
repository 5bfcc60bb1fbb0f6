"""What a training that has ended tells its run."""

import csv

from pipeline.foundation.tracker import Run
from pipeline.repository.stage_outputs import StageOutputs
from pipeline.tracking.runs.facts import required, training_facts

_FITTED = ("train", "validation")
_NO_CURVES = ("phase", "epoch")


def record_training(run: Run, outputs: StageOutputs, candidate: str) -> None:
    """All but the epochs, which are shown while it runs. Raises FileNotFoundError where an output is gone."""
    card, workspace = required(outputs.card(candidate)), outputs.workspace
    required(training_facts(outputs, candidate)).record(run)
    images = outputs.read_json(workspace.split_metrics) or {}
    sizes = {subset: images[subset] for subset in _FITTED if subset in images}
    run.log_dataset("arrays", card["data_digest"], sizes)
    folder = required(outputs.find(workspace.model(candidate)))
    for file in sorted(folder.iterdir()):
        if file.suffix != ".keras":
            run.log_artifact(file)
    run.log_model(folder, card["model_digest"])


def record_epochs(run: Run, outputs: StageOutputs, candidate: str) -> None:
    """What the training has shown while it ran, but for its speed: where nothing was executed."""
    history = required(outputs.find(outputs.workspace.history(candidate)))
    with history.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            curves = {name: float(value) for name, value in row.items() if name not in _NO_CURVES}
            run.log_metrics(curves, step=int(row["epoch"]))
