"""The trainings of a study and the table of them: studies/<name>/results.csv."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass

DONE, FAILED, OPEN = "done", "failed", "open"
"""Of a training: it has a result; it broke off, as one does that diverges; it was not run yet."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One setting under one seed.

    Attributes:
      setting: its name.
      seed: of the training.
      status: DONE, FAILED or OPEN.
      experiment: DVC's name.
      threads: that it trains with.
      reason: why it has failed, in a line; empty where it has not.
      validation_accuracy: of the epoch whose weights were kept, a share of 1.
      validation_loss: of the same epoch, as it was fitted, label smoothing included.
      epochs: that were trained.
      seconds: that the training took; None where DVC had its result already.
      images_per_second: of training, in the last epoch; None as above.
      parameters: of the network.
    """

    setting: str
    seed: int
    status: str
    experiment: str
    threads: int
    reason: str = ""
    validation_accuracy: float | None = None
    validation_loss: float | None = None
    epochs: int | None = None
    seconds: float | None = None
    images_per_second: float | None = None
    parameters: int | None = None

    @property
    def score(self) -> float:
        """The validation accuracy of one that is done."""
        assert self.validation_accuracy is not None
        return self.validation_accuracy

    @property
    def core_seconds(self) -> float | None:
        return None if self.seconds is None else self.threads * self.seconds


_COLUMNS = {
    "setting": "{}",
    "seed": "{}",
    "status": "{}",
    "validation_accuracy": "{:.6f}",
    "validation_loss": "{:.6f}",
    "epochs": "{}",
    "seconds": "{:.1f}",
    "images_per_second": "{:.0f}",
    "parameters": "{}",
    "threads": "{}",
    "experiment": "{}",
    "reason": "{}",
}


def results_csv(cells: Iterable[Cell]) -> str:
    """A row for each; what is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for cell in cells:
        values = [(getattr(cell, name), form) for name, form in _COLUMNS.items()]
        writer.writerow("" if value is None else form.format(value) for value, form in values)
    return text.getvalue()
