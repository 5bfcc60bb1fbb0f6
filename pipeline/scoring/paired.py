"""Whether one model is better than another on the same images, or was merely lucky."""

from dataclasses import dataclass

import numpy as np

from pipeline.scoring.intervals import Bootstrap, Interval, percentile_interval, resample
from pipeline.scoring.predictions import Predictions
from pipeline.scoring.scores import rounded


@dataclass(frozen=True)
class Comparison:
    """Two models on the same images.

    Attributes:
      only_first_right: images that the first gets right and the second wrong.
      only_second_right: images that the second gets right and the first wrong.
      p_value: two-sided, of the exact McNemar test.
      accuracy_difference: accuracy of the first minus that of the second.
      interval: of the difference, by the paired bootstrap.
    """

    only_first_right: int
    only_second_right: int
    p_value: float
    accuracy_difference: float
    interval: Interval

    def to_json(self) -> dict[str, float | int]:
        return {
            "only_first_right": self.only_first_right,
            "only_second_right": self.only_second_right,
            "p_value": float(f"{self.p_value:.6g}"),
            "accuracy_difference": rounded(self.accuracy_difference),
            "difference_low": rounded(self.interval.low),
            "difference_high": rounded(self.interval.high),
        }


def compare(first: Predictions, second: Predictions, bootstrap: Bootstrap) -> Comparison:
    """Compare two models' predictions of the same images in the same order."""
    assert np.array_equal(first.ids, second.ids)
    assert np.array_equal(first.labels, second.labels)
    only_first = int((first.right & ~second.right).sum())
    only_second = int((second.right & ~first.right).sum())
    alike = len(first) - only_first - only_second
    # The images are resampled, and with each image both of its predictions.
    resamples = resample(np.array([only_first, only_second, alike]), bootstrap)
    differences = (resamples[:, 0] - resamples[:, 1]) / len(first)
    return Comparison(
        only_first_right=only_first,
        only_second_right=only_second,
        p_value=mcnemar_exact(only_first, only_second),
        accuracy_difference=(only_first - only_second) / len(first),
        interval=percentile_interval(differences, bootstrap.confidence),
    )


def mcnemar_exact(only_first_right: int, only_second_right: int) -> float:
    """Two-sided p-value of McNemar's test (1947), from the binomial distribution itself.

    Of the images on which the two models disagree, each would be right on half if they were equally
    good. Whole numbers keep it exact for any number of images; 1.0 where the models never disagree.
    """
    total = only_first_right + only_second_right
    ways = tail = 1  # C(total, 0)
    for chosen in range(1, min(only_first_right, only_second_right) + 1):
        ways = ways * (total - chosen + 1) // chosen
        tail += ways
    return min(1.0, 2 * tail / 2**total)
