"""The epoch of a training whose weights became its model, read from the files of its run."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.foundation.workspace import CARD_FILE, HISTORY_FILE
from pipeline.tracking.store import Store


@dataclass(frozen=True)
class KeptEpoch:
    """What is known of a finished training.

    Attributes:
      validation_accuracy: of that epoch, a share of 1.
      validation_loss: of that epoch, as it was fitted, label smoothing included.
      epochs: how many were trained, over all phases.
      parameters: of the network.
      versions: of Python and of the libraries that decide the result.
    """

    validation_accuracy: float
    validation_loss: float
    epochs: int
    parameters: int
    versions: Mapping[str, str]


def read_kept_epoch(store: Store, run_id: str, scratch: Path) -> KeptEpoch:
    """Of a finished training.

    The last value of MLflow's curves would be another epoch's where early stopping went back to a better
    one, and a restored run has only the files.

    Args:
      store: what has the run.
      run_id: MLflow's.
      scratch: a folder for copies of its files.

    Raises:
      PipelineError: MLflow does not answer, or does not have these files.
    """
    with store.answering(f"MLflow has not handed out the files of run {run_id}") as client:
        card_file, history_file = (
            Path(client.download_artifacts(run_id, name, str(scratch))) for name in (CARD_FILE, HISTORY_FILE)
        )
        card = json.loads(card_file.read_text(encoding="utf-8"))
        with history_file.open(encoding="utf-8", newline="") as file:
            by_epoch = {int(row["epoch"]): row for row in csv.DictReader(file)}
    kept = by_epoch[card["training"]["best_epoch"]]
    return KeptEpoch(
        validation_accuracy=float(kept["val_accuracy"]),
        validation_loss=float(kept["val_loss"]),
        epochs=len(by_epoch),
        parameters=int(card["parameters"]["total"]),
        versions=card["versions"],
    )
