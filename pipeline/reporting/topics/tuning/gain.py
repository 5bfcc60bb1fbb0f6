"""What a search has won: the setting that it found against the given one, trained in full."""

from collections.abc import Sequence
from statistics import mean

from scipy.stats import ttest_rel

from pipeline.reporting.results import FullTraining, RunResults
from pipeline.reporting.wording import accuracy_decimals, counted, percent, points, probability

_SIGNIFICANCE = 0.05


def search_gain(results: RunResults) -> str:
    """What was won, and how sure that is."""
    if not results.confirmation:
        return (
            "No trial did better on the validation images than the setting that was given, so that one was "
            "trained in full."
        )
    found, given = (
        [each.val_accuracy for each in results.confirmation if each.found is which] for which in (True, False)
    )
    decimals = accuracy_decimals(len(results.subsets["validation"]))
    reached = [_reached(accuracies, decimals) for accuracies in (found, given)]
    seeds = counted(len(found), "seed")
    text = (
        f"Trained in full under {seeds}, the setting that the search found reached {reached[0]} of the "
        f"validation images, and the one that was given {reached[1]}"
    )
    pairs = [(a, b) for a, b in zip(found, given, strict=True) if a is not None and b is not None]
    if len(pairs) < len(found):
        return f"{text}. {_kept(results)}"
    difference = mean(a - b for a, b in pairs)
    return f"{text}: {points(difference, decimals)}{_surely(pairs)}. {_kept(results)}"


def _reached(accuracies: Sequence[float | None], decimals: int) -> str:
    ended = [accuracy for accuracy in accuracies if accuracy is not None]
    if not ended:
        return "none (its loss was not finite)"
    failed = len(accuracies) - len(ended)
    return percent(mean(ended), decimals) + (f" ({failed} of them failed)" if failed else "")


def _surely(pairs: Sequence[tuple[float, float]]) -> str:
    """Nothing where there is one seed, or no spread, which leaves nothing to test."""
    if len({a - b for a, b in pairs}) < 2:
        return ", on one seed" if len(pairs) == 1 else ""
    p_value = float(ttest_rel(*zip(*pairs, strict=True)).pvalue)
    verdict = "more than chance explains" if p_value < _SIGNIFICANCE else "within what chance explains"
    return f", {verdict} (paired t-test over the seeds, {probability(p_value)})"


def _kept(results: RunResults) -> str:
    def average(found: bool) -> float:
        return mean(each.val_accuracy or 0.0 for each in results.confirmation if each.found is found)

    return f"The {'one found' if average(True) > average(False) else 'given one'} was kept."


def confirmations(results: RunResults) -> tuple[tuple[str, ...], ...]:
    """Rows of a table: seed, accuracy of what was found, accuracy of what was given."""
    rows: dict[int, dict[bool, FullTraining]] = {}
    for each in results.confirmation:
        rows.setdefault(each.seed, {})[each.found] = each
    return tuple(
        (str(seed), *(_cell(both[which].val_accuracy) for which in (True, False)))
        for seed, both in rows.items()
    )


def _cell(accuracy: float | None) -> str:
    return "failed" if accuracy is None else percent(accuracy, 2)
