"""Over- and underfitting as the curves show it.

A network overfits when it does better on the images it was trained on than on others: the gap
between training and validation accuracy is larger than chance explains, or the validation loss
rises while the training loss falls. It underfits when it does not even manage the training images
(Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 5.2).
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from pipeline.reporting.results import History

_SMALLEST_GAP = 0.02
"""Gaps in accuracy below two points are too small to speak of."""

_LARGE_GAP = 0.10
_RISE = 0.05
"""Validation loss at the end, relative to its lowest value."""

_FALL = 0.02
"""Relative fall of the validation loss in the last fifth of the epochs that counts as still improving."""

_FITTED = 0.90
"""Training accuracy from which on nobody would speak of underfitting."""


class Verdict(Enum):
    OVERFITTING = "overfitting"
    UNDERFITTING = "underfitting"
    BALANCED = "balanced"


@dataclass(frozen=True)
class Diagnosis:
    """What the curves of one training say.

    Attributes:
      epoch: whose weights were kept.
      gap: training minus validation accuracy at that epoch.
      gap_is_large: from ten points on.
      lowest_loss_epoch: where the validation loss was lowest.
      loss_rise: its last value relative to its lowest one, minus 1.
      loss_rises: it rose by more than 5 % while the training loss fell.
      last_epochs: how many epochs "the last" means below.
      late_fall: by what share the validation loss fell in the last epochs (negative: it did not).
      still_improving: by more than 2 %.
    """

    verdict: Verdict
    epoch: int
    train_accuracy: float
    validation_accuracy: float
    gap: float
    gap_is_large: bool
    lowest_loss_epoch: int
    loss_rise: float
    loss_rises: bool
    last_epochs: int
    late_fall: float
    still_improving: bool


def diagnose(history: History, kept_epoch: int, validation_images: int) -> Diagnosis:
    """Judge the curves of one training.

    Args:
      kept_epoch: the epoch whose weights were kept, counted from 1.
      validation_images: how many images the validation accuracy was measured on.
    """
    kept = int(np.flatnonzero(history.epochs == kept_epoch)[0])
    train, validation = float(history.accuracy[kept]), float(history.val_accuracy[kept])
    gap = train - validation
    noise = 2.0 * float(np.sqrt(validation * (1.0 - validation) / validation_images))
    lowest = int(np.argmin(history.val_loss))
    loss_rise = float(history.val_loss[-1] / history.val_loss[lowest]) - 1.0
    loss_rises = loss_rise > _RISE and bool(history.loss[-1] < history.loss[lowest])
    last_epochs, late_fall = _late_fall(history.val_loss)
    if gap > max(_SMALLEST_GAP, noise) or loss_rises:
        verdict = Verdict.OVERFITTING
    elif train < _FITTED:
        verdict = Verdict.UNDERFITTING
    else:
        verdict = Verdict.BALANCED
    return Diagnosis(
        verdict=verdict,
        epoch=kept_epoch,
        train_accuracy=train,
        validation_accuracy=validation,
        gap=gap,
        gap_is_large=gap >= _LARGE_GAP,
        lowest_loss_epoch=int(history.epochs[lowest]),
        loss_rise=loss_rise,
        loss_rises=loss_rises,
        last_epochs=last_epochs,
        late_fall=late_fall,
        still_improving=late_fall > _FALL,
    )


def _late_fall(val_loss: np.ndarray) -> tuple[int, float]:
    """The last fifth of the epochs, and by what share they lowered the lowest validation loss."""
    last = max(1, len(val_loss) // 5)
    if len(val_loss) <= last:
        return last, 0.0
    return last, 1.0 - float(val_loss[-last:].min() / val_loss[:-last].min())
