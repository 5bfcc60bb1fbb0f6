"""Whether confidence means what it says: of predictions made with 80 % confidence, 80 % should be right."""

from dataclasses import dataclass

import numpy as np

from pipeline.scoring.predictions import Predictions


@dataclass(frozen=True)
class Calibration:
    """Predictions grouped by confidence, the probability of the predicted class; empty bins are left out.

    Attributes:
      bins: int64, (B,); number of each bin, from 1; bin m of M holds confidences in ((m - 1) / M, m / M].
      confidence: float64, (B,); mean confidence in each bin.
      accuracy: float64, (B,); share of right predictions in each bin.
      images: int64, (B,).
    """

    bins: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    images: np.ndarray

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
