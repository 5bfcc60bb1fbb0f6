"""Which hyperparameters went with the accuracy over the trials of a search, and how that is said."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import permutation_test, rankdata

from pipeline.foundation.array_types import Float64
from pipeline.reporting.results import SearchedSetting
from pipeline.reporting.wording import counted, listed, number, probability, signed

_FEWEST_TRIALS = 4
"""Four trials have 24 orders: below that no correlation can be told from chance."""

_SHUFFLES = 9_999
_SIGNIFICANCE = 0.05
"""Of hyperparameters' correlations, divided by their number (Bonferroni)."""


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

    def __str__(self) -> str:
        return f"rank correlation {signed(self.correlation, 2)}, {probability(self.p_value)}"


def effects(trials: Sequence[SearchedSetting]) -> tuple[Effect, ...]:
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
        values = [number(trial.hyperparameters[name]) for trial in finished]
        if None not in values and len(set(values)) > 1 and len(set(accuracies)) > 1:
            found.append(_effect(name, np.array(values), accuracies))
    return tuple(sorted(found, key=lambda effect: -abs(effect.correlation)))


def comparable_trials(trials: Sequence[SearchedSetting]) -> list[SearchedSetting]:
    """The completed trials that were trained for as many epochs as the longest one."""
    completed = [trial for trial in trials if trial.completed and trial.val_accuracy is not None]
    longest = max((trial.epochs or 0 for trial in completed), default=0)
    return [trial for trial in completed if (trial.epochs or 0) == longest]


def _effect(name: str, values: Float64[np.ndarray, " t"], accuracies: Float64[np.ndarray, " t"]) -> Effect:
    ranks, target = rankdata(values), rankdata(accuracies)

    def correlation(
        shuffled: Float64[np.ndarray, "*shuffles t"], axis: int = -1
    ) -> Float64[np.ndarray, "*shuffles"] | float:
        centered = shuffled - shuffled.mean(axis=axis, keepdims=True)
        against = target - target.mean()
        scale = np.sqrt((centered**2).sum(axis=axis) * (against**2).sum())
        found: Float64[np.ndarray, "*shuffles"] | float = (centered * against).sum(axis=axis) / scale
        return found

    tested = permutation_test(
        (ranks,),
        correlation,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=_SHUFFLES,
        rng=np.random.default_rng(0),
    )
    return Effect(name, float(tested.statistic), float(tested.pvalue))


def what_mattered(trials: Sequence[SearchedSetting], found: Sequence[Effect]) -> str:
    """Which of the effects found are clear, and how sure that is."""
    compared = counted(len(comparable_trials(trials)), "trial")
    if not found:
        return (
            f"There are too few trials of the same length ({compared}), or they are too much alike, to say "
            "which hyperparameter mattered."
        )
    limit = _SIGNIFICANCE / len(found)
    clear = [effect for effect in found if effect.p_value < limit]
    if clear:
        parts = [
            f"{effect.name} ({'higher' if effect.correlation > 0 else 'lower'} values did better; {effect})"
            for effect in clear
        ]
        text = f"Over {compared}, the accuracy clearly went with {listed(parts)}."
    else:
        text = (
            f"Over {compared}, no hyperparameter went with the accuracy more clearly than chance could make "
            f"it; the strongest link is that of {found[0].name} ({found[0]})."
        )
        if len(found) > 1:
            text += f" With {len(found)} of them looked at, only p < {limit:.3f} would count."
    return (
        f"{text} Take it as a hint: a rank correlation sees neither an optimum in the middle nor "
        "hyperparameters that work together, and a search that learns from its trials does not try evenly."
    )
