"""What trainings under several seeds say: means, differences paired by seed, and Holm's correction.

The intervals and tests are Student's: they take the scores of one setting under different seeds for draws
from a normal distribution. They know the chance that lies in the seeds, not that in the images.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipeline.foundation.array_types import Float64
from pipeline.scoring.intervals import Interval


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
      count: seeds, at least 2.
      mean: over them.
      deviation: standard deviation, with count - 1 in the denominator.
      interval: of the mean, by the t distribution.
    """

    count: int
    mean: float
    deviation: float
    interval: Interval


@dataclass(frozen=True)
class PairedDifference:
    """How far a setting is from another one, under the same seeds.

    Attributes:
      estimate: of the differences, one for each seed.
      p_value: two-sided, of the paired t-test; None where all differences are equal, as the test is not
        defined then: equal ones would otherwise prove anything, and counts of few images are often equal.
    """

    estimate: Estimate
    p_value: float | None


def estimate(values: Float64[np.ndarray, " seeds"], confidence: float) -> Estimate:
    """The mean of at least two values; `confidence` is the interval's."""
    count, mean, deviation = len(values), float(values.mean()), float(values.std(ddof=1))
    margin = _t_quantile(1.0 - confidence, count) * deviation / math.sqrt(count)
    return Estimate(count, mean, deviation, Interval(mean - margin, mean + margin))


def paired_difference(
    first: Float64[np.ndarray, " seeds"], second: Float64[np.ndarray, " seeds"], confidence: float
) -> PairedDifference:
    """The first minus the second, both in the order of the same seeds, at least two."""
    differences = first - second
    p_value = None
    # Equal shares of the same images may differ in their last bit.
    if not np.allclose(differences, differences[0], rtol=0.0, atol=1e-12):
        p_value = float(stats.ttest_rel(first, second).pvalue)
    return PairedDifference(estimate(differences, confidence), p_value)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """P-values corrected for their number by Holm's step-down method, in the same order.

    The chance that any of them falls below a level although nothing differs is at most that level, whatever
    they have to do with each other: Holm 1979, "A simple sequentially rejective multiple test procedure",
    Scandinavian Journal of Statistics 6(2). The smallest of m is multiplied by m, the next one by m - 1, and
    so on; none becomes smaller than one before it, or larger than 1. What could not be tested (None) counts
    in m and stays None.
    """
    total = len(p_values)
    tested = sorted((p_value, place) for place, p_value in enumerate(p_values) if p_value is not None)
    corrected: list[float | None] = [None] * total
    largest = 0.0
    for rank, (p_value, place) in enumerate(tested):
        largest = max(largest, min(1.0, (total - rank) * p_value))
        corrected[place] = largest
    return corrected


def smallest_difference_to_show(
    differences: Sequence[Estimate], comparisons: int, level: float
) -> float | None:
    """What a mean difference must exceed to pass Holm's first and hardest step; None without an estimate.

    There `comparisons` times the p-value has to fall below `level`. All `differences` are over as many seeds,
    and a typical one is taken to scatter as they do together (the root of their mean variance).
    """
    if not differences:
        return None
    seeds = differences[0].count
    assert all(each.count == seeds for each in differences)
    typical = math.sqrt(sum(each.deviation**2 for each in differences) / len(differences))
    return _t_quantile(level / comparisons, seeds) * typical / math.sqrt(seeds)


def _t_quantile(outside: float, count: int) -> float:
    """So many standard errors lie on each side of the mean of `count` values when `outside` is left out."""
    return float(stats.t.ppf(1.0 - outside / 2.0, count - 1))
