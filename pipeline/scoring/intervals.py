"""Percentile bootstrap intervals (Efron, 1979) from counts.

Drawing N of N images with replacement and counting them per cell (a cell of the confusion matrix,
say) is one draw from the multinomial distribution of the cells' shares. So the resamples are drawn
as counts, which gives the very same distribution at a cost that does not depend on N.

Resampling is not stratified: the images of a subset are seen as drawn from all the images that
there might be, and the number of each class among them as part of the chance. Where a test subset
was balanced on purpose (CIFAR-10), that makes the intervals slightly wider than they need be.

The percentile bootstrap knows only what the sample shows: a subset without any error gets the
interval [1, 1], however small it is.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.foundation.array_types import Float64, Int64


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are computed: number of resamples, share of them inside, seed of the generator."""

    samples: int
    confidence: float
    seed: int


@dataclass(frozen=True)
class Interval:
    """Both bounds of a confidence interval."""

    low: float
    high: float


def resample(
    counts: Int64[np.ndarray, " cells"], bootstrap: Bootstrap
) -> Int64[np.ndarray, "{bootstrap.samples} cells"]:
    """Counts of the same cells in each resample; every row has the sum of `counts`."""
    total = int(counts.sum())
    generator = np.random.default_rng(bootstrap.seed)
    return generator.multinomial(total, counts / total, size=bootstrap.samples)


def percentile_interval(values: Float64[np.ndarray, " samples"], confidence: float) -> Interval:
    """The middle `confidence` share of a statistic's values over the resamples."""
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(values, (tail, 1.0 - tail))
    return Interval(float(low), float(high))
