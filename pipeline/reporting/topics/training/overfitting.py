"""Over- and underfitting: what the curves of a training show, and how that is said.

A network overfits when it does better on the images it was trained on than on others: the gap
between training and validation accuracy is larger than chance explains, or the validation loss
rises while the training loss falls. It underfits when it does not even fit the training images
(Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 5.2).
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from pipeline.foundation.array_types import Float64
from pipeline.reporting.results import Candidate, History, RunResults
from pipeline.reporting.wording import percent

_SMALLEST_GAP = 0.02
"""Gaps in accuracy below two points are too small to speak of."""

_LARGE_GAP = 0.10
_RISE = 0.05
"""Validation loss at the end, relative to its lowest value."""

_FALL = 0.02
"""Relative fall of the validation loss in the last fifth of the epochs that counts as still improving."""

_FITTED = 0.90
"""Training accuracy from which on nobody would speak of underfitting."""


class Fit(Enum):
    """The values continue the name of a network."""

    OVERFITTING = "overfits"
    UNDERFITTING = "underfits"
    BALANCED = "fits well"


@dataclass(frozen=True)
class Diagnosis:
    """What the curves of one training say.

    Attributes:
      epoch: whose weights were kept.
      gap: training minus validation accuracy at that epoch.
      lowest_loss_epoch: where the validation loss was lowest.
      loss_rise: its last value relative to its lowest one, minus 1.
      loss_rises: it rose by more than 5 % while the training loss fell.
      last_epochs: how many epochs "the last" means below.
      late_fall: by what share the validation loss fell in the last epochs (negative: it did not).
    """

    fit: Fit
    epoch: int
    train_accuracy: float
    validation_accuracy: float
    gap: float
    lowest_loss_epoch: int
    loss_rise: float
    loss_rises: bool
    epochs: int
    last_epochs: int
    late_fall: float

    @property
    def still_improving(self) -> bool:
        return self.late_fall > _FALL


def diagnosis_of(candidate: Candidate, results: RunResults) -> Diagnosis:
    return diagnose(candidate.history, candidate.kept_epoch, len(results.subsets["validation"]))


def diagnose(history: History, kept_epoch: int, validation_images: int) -> Diagnosis:
    """Judge the curves of one training.

    Args:
      history: the curves.
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
        fit = Fit.OVERFITTING
    elif max(train, validation) < _FITTED:  # augmented images are harder than those it is validated on
        fit = Fit.UNDERFITTING
    else:
        fit = Fit.BALANCED
    return Diagnosis(
        fit=fit,
        epoch=kept_epoch,
        train_accuracy=train,
        validation_accuracy=validation,
        gap=gap,
        lowest_loss_epoch=int(history.epochs[lowest]),
        loss_rise=loss_rise,
        loss_rises=loss_rises,
        epochs=len(history),
        last_epochs=last_epochs,
        late_fall=late_fall,
    )


def _late_fall(val_loss: Float64[np.ndarray, " e"]) -> tuple[int, float]:
    """The last fifth of the epochs, and by what share they lowered the lowest validation loss."""
    last = max(1, len(val_loss) // 5)
    if len(val_loss) <= last:
        return last, 0.0
    return last, 1.0 - float(val_loss[-last:].min() / val_loss[:-last].min())


def fit_sentence(diagnosis: Diagnosis, title: str) -> str:
    """Over- or underfitting of the network of that title."""
    measured = (
        f"at epoch {diagnosis.epoch}, whose weights were kept, it is right on "
        f"{percent(diagnosis.train_accuracy)} of the training images and on "
        f"{percent(diagnosis.validation_accuracy)} of the validation images"
    )
    if diagnosis.fit is Fit.OVERFITTING:
        return _overfitting(diagnosis, title, measured)
    if diagnosis.fit is Fit.UNDERFITTING:
        return f"{title} underfits: {measured}. {_outlook(diagnosis)}"
    gap = (
        "so it does no worse on images that it has not learned from"
        if diagnosis.gap <= 0
        else f"a gap of {100 * diagnosis.gap:.1f} points, which is small or within chance"
    )
    text = f"{title} shows neither over- nor underfitting: {measured}, {gap}."
    return f"{text} {_outlook(diagnosis)}" if diagnosis.still_improving else text


def _overfitting(diagnosis: Diagnosis, title: str, measured: str) -> str:
    degree = "overfits strongly" if diagnosis.gap >= _LARGE_GAP else "overfits"
    text = f"{title} {degree}: {measured}, a gap of {100 * diagnosis.gap:.1f} points."
    if diagnosis.gap <= 0:
        text = f"{title} overfits toward the end: {measured}."
    if diagnosis.loss_rises:
        text += (
            f" Its validation loss was lowest at epoch {diagnosis.lowest_loss_epoch} and ended "
            f"{percent(diagnosis.loss_rise, 0)} higher, while the training loss kept falling."
        )
    return f"{text} More images, stronger augmentation or more regularization are the usual remedies."


def _outlook(diagnosis: Diagnosis) -> str:
    last = "the last epoch" if diagnosis.last_epochs == 1 else f"the last {diagnosis.last_epochs} epochs"
    if diagnosis.still_improving:
        fall = percent(diagnosis.late_fall, 0)
        return f"Its validation loss still fell by {fall} in {last}, so longer training may help."
    if diagnosis.last_epochs == diagnosis.epochs:
        return "So few epochs do not tell whether longer training would help."
    return (
        f"Its validation loss hardly fell in {last}: a larger network, less regularization or a longer "
        "schedule may help."
    )
