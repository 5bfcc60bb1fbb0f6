"""Whether confidence means what it says: of predictions made with 80 % confidence, 80 % should be right."""

from dataclasses import dataclass

import numpy as np

from pipeline.foundation.array_types import Float64, Int64
from pipeline.scoring.predictions import Predictions


@dataclass(frozen=True)
class Calibration:
    """Predictions grouped by confidence, the probability of the predicted class; empty bins are left out.

    Attributes:
      bins: number of each bin, from 1; bin m of M holds confidences in ((m - 1) / M, m / M].
      confidence: mean confidence in each bin.
      accuracy: share of right predictions in each bin.
      images: number of predictions in each bin.
    """

    bins: Int64[np.ndarray, " bins"]
    confidence: Float64[np.ndarray, " bins"]
    accuracy: Float64[np.ndarray, " bins"]
    images: Int64[np.ndarray, " bins"]

    @property
    def expected_error(self) -> float:
        """Expected calibration error (ECE): mean |accuracy - confidence| over the bins, weighted by images.

        Guo et al., "On Calibration of Modern Neural Networks", 2017, equation 3.
        """
        gaps = np.abs(self.accuracy - self.confidence)
        return float(np.average(gaps, weights=self.images))


def calibrate(predictions: Predictions, bins: int) -> Calibration:
    """Group predictions into `bins` bins of equal width by their top-label confidence."""
    confidence = predictions.probabilities.max(axis=1).astype(np.float64)
    inner_edges = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    index = np.digitize(confidence, inner_edges, right=True)
    images = np.bincount(index, minlength=bins)
    filled = np.flatnonzero(images)
    confidence_sums = np.bincount(index, weights=confidence, minlength=bins)
    right_sums = np.bincount(index, weights=predictions.right, minlength=bins)
    return Calibration(
        bins=filled + 1,
        confidence=confidence_sums[filled] / images[filled],
        accuracy=right_sums[filled] / images[filled],
        images=images[filled],
    )
