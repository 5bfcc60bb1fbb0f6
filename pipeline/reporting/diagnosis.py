"""What the figures show: over- and underfitting, which hyperparameters mattered, where heatmaps lie.

A network overfits when it does better on the images it was trained on than on others: the gap
between training and validation accuracy is larger than chance explains, or the validation loss
rises while the training loss falls. It underfits when it does not even manage the training images
(Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 5.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy.stats import permutation_test, rankdata

from pipeline.reporting.results import History, Trial
from pipeline.scoring.explanations import Explanations
from pipeline.scoring.predictions import Predictions

_SMALLEST_GAP = 0.02
"""Gaps in accuracy below two points are too small to speak of."""

_LARGE_GAP = 0.10
_RISE = 0.05
"""Validation loss at the end, relative to its lowest value."""

_FALL = 0.02
"""Relative fall of the validation loss in the last fifth of the epochs that counts as still improving."""

_FITTED = 0.90
"""Training accuracy from which on nobody would speak of underfitting."""

_FEWEST_TRIALS = 4
"""Four trials have 24 orders: below that no correlation can be told from chance."""

_SHUFFLES = 9_999


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
    epochs: int
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
    elif max(train, validation) < _FITTED:  # augmented images are harder than those it is validated on
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
        epochs=len(history),
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


@dataclass(frozen=True)
class Attention:
    """Where the heatmaps of one network lie.

    Attributes:
      right, wrong: heatmaps of right answers and of mistakes; those where nothing speaks for the class
        are counted in `empty` alone.
      empty: heatmaps that are zero everywhere.
      right_extent, wrong_extent: median share of the image that is at least half as hot as its hottest
        place; None without such heatmaps.
      middle: mean share of the heat that lies in the middle quarter of the image, which holds 25 % of
        its area.
    """

    right: int
    wrong: int
    empty: int
    right_extent: float | None
    wrong_extent: float | None
    middle: float


def measure_attention(explanations: Explanations, predictions: Predictions) -> Attention:
    """Measure the heatmaps of one network; `predictions` are those of the test subset."""
    speaks = explanations.heatmaps.max(axis=(1, 2), initial=0.0) > 0
    heatmaps = explanations.heatmaps[speaks].astype(np.float64)
    right = predictions.right[explanations.rows[speaks]]
    extent = (heatmaps >= 0.5).mean(axis=(1, 2))
    return Attention(
        right=int(right.sum()),
        wrong=int((~right).sum()),
        empty=int((~speaks).sum()),
        right_extent=float(np.median(extent[right])) if right.any() else None,
        wrong_extent=float(np.median(extent[~right])) if (~right).any() else None,
        middle=float(np.mean(_share_in_the_middle(heatmaps))) if len(heatmaps) else 0.0,
    )


def _share_in_the_middle(heatmaps: np.ndarray) -> np.ndarray:
    """Share of each heatmap, (M, h, w), that lies in the middle half of both sides: float64, (M,)."""
    total = heatmaps.sum(axis=(1, 2))
    weights = [_overlap_with_middle(side) for side in heatmaps.shape[1:]]
    return np.einsum("mhw,h,w->m", heatmaps, *weights) / total


def _overlap_with_middle(cells: int) -> np.ndarray:
    """Which share of each of so many cells along a side lies in its middle half: float64, (cells,)."""
    starts = np.arange(cells)
    overlap = np.minimum(starts + 1, 0.75 * cells) - np.maximum(starts, 0.25 * cells)
    return np.clip(overlap, 0.0, 1.0)


@dataclass(frozen=True)
class Effect:
    """How one hyperparameter and the validation accuracy went together over the finished trials.

    Attributes:
      correlation: Spearman's rank correlation, -1 to 1.
      p_value: how often shuffled trials correlate as strongly.
    """

    name: str
    correlation: float
    p_value: float


def effects(trials: Sequence[Trial]) -> tuple[Effect, ...]:
    """The effect of every numeric hyperparameter that was varied, the strongest first.

    A search that learns from its trials does not draw them independently, so that the p-values are a
    rough guide. Trials that failed or ended early are left out: their accuracies do not compare.
    """
    finished = comparable_trials(trials)
    if len(finished) < _FEWEST_TRIALS:
        return ()
    accuracies = np.array([trial.val_accuracy for trial in finished])
    found = []
    for name in finished[0].hyperparameters:
        values = _numbers([trial.hyperparameters[name] for trial in finished])
        if values is not None and len(set(values)) > 1 and len(set(accuracies)) > 1:
            found.append(_effect(name, values, accuracies))
    return tuple(sorted(found, key=lambda effect: -abs(effect.correlation)))


def comparable_trials(trials: Sequence[Trial]) -> list[Trial]:
    """The completed trials that were trained for as many epochs as the longest one."""
    completed = [trial for trial in trials if trial.completed and trial.val_accuracy is not None]
    longest = max((trial.epochs or 0 for trial in completed), default=0)
    return [trial for trial in completed if (trial.epochs or 0) == longest]


def _effect(name: str, values: np.ndarray, accuracies: np.ndarray) -> Effect:
    ranks, target = rankdata(values), rankdata(accuracies)

    def correlation(shuffled: np.ndarray, axis: int = -1) -> np.ndarray:
        centered = shuffled - shuffled.mean(axis=axis, keepdims=True)
        against = target - target.mean()
        return (centered * against).sum(axis=axis) / np.sqrt(
            (centered**2).sum(axis=axis) * (against**2).sum()
        )

    tested = permutation_test(
        (ranks,),
        correlation,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=_SHUFFLES,
        rng=np.random.default_rng(0),
    )
    return Effect(name, float(tested.statistic), float(tested.pvalue))


def _numbers(texts: Sequence[str]) -> np.ndarray | None:
    try:
        return np.array([float(text) for text in texts])
    except ValueError:
        return None
