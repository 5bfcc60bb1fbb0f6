"""Whether one model is better than another on the same images, or was merely lucky."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.foundation.files import read_json, write_json
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

    def reversed(self) -> "Comparison":
        """The same with the second of the two models as the first."""
        return Comparison(
            only_first_right=self.only_second_right,
            only_second_right=self.only_first_right,
            p_value=self.p_value,
            accuracy_difference=-self.accuracy_difference,
            interval=Interval(-self.interval.high, -self.interval.low),
        )

    def is_significant(self, confidence: float) -> bool:
        """Whether the two differ by more than chance explains; 1 - `confidence` is the level."""
        return self.p_value < 1.0 - confidence


@dataclass(frozen=True)
class ModelComparison:
    """Two models, by name, on one subset."""

    first: str
    second: str
    subset: str
    comparison: Comparison

    def reversed(self) -> "ModelComparison":
        """The same with the second of the two models as the first."""
        return ModelComparison(self.second, self.first, self.subset, self.comparison.reversed())

    def to_json(self) -> dict[str, str | float]:
        return {
            "first": self.first,
            "second": self.second,
            "subset": self.subset,
            "only_first_right": self.comparison.only_first_right,
            "only_second_right": self.comparison.only_second_right,
            "p_value": float(f"{self.comparison.p_value:.6g}"),
            "accuracy_difference": rounded(self.comparison.accuracy_difference),
            "difference_low": rounded(self.comparison.interval.low),
            "difference_high": rounded(self.comparison.interval.high),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ModelComparison":
        comparison = Comparison(
            only_first_right=values["only_first_right"],
            only_second_right=values["only_second_right"],
            p_value=values["p_value"],
            accuracy_difference=values["accuracy_difference"],
            interval=Interval(values["difference_low"], values["difference_high"]),
        )
        return cls(values["first"], values["second"], values["subset"], comparison)


def save_comparisons(path: Path, comparisons: Sequence[ModelComparison]) -> None:
    """Write metrics/comparisons.json."""
    write_json(path, [each.to_json() for each in comparisons])


def load_comparisons(path: Path) -> list[ModelComparison]:
    """What `save_comparisons` has written. Raises PipelineError where the file is missing."""
    return [ModelComparison.from_json(values) for values in read_json(path)]


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
    return float(min(1.0, 2 * tail / 2**total))
