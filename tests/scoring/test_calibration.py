"""Expected calibration error of predictors whose calibration is known."""

import numpy as np
import pytest

from pipeline.foundation.array_types import Float64
from pipeline.scoring.calibration import calibrate
from pipeline.scoring.predictions import Predictions
from tests.scoring.made_predictions import predictions_of, random_predictions


def _confident(
    confidence: Float64[np.ndarray, " n"], chance_of_being_right: Float64[np.ndarray, " n"]
) -> Predictions:
    """Two classes, class 0 predicted with the given confidences, right with the given chances."""
    generator = np.random.default_rng(5)
    labels = (generator.random(len(confidence)) >= chance_of_being_right).astype(np.int64)
    return predictions_of(np.stack([confidence, 1 - confidence], axis=1), labels)


def test_calibrated_predictor_has_almost_no_error() -> None:
    confidence = np.random.default_rng(4).uniform(0.5, 1.0, size=40_000)
    predictions = _confident(confidence, confidence)
    assert calibrate(predictions, bins=15).expected_error < 0.012


def test_overconfidence_is_measured() -> None:
    confidence = np.random.default_rng(4).uniform(0.75, 1.0, size=40_000)
    predictions = _confident(confidence, confidence - 0.15)
    assert calibrate(predictions, bins=15).expected_error == pytest.approx(0.15, abs=0.01)


def test_two_bins_by_hand() -> None:
    # Bin 2 of 4 (0.25 to 0.5]: three times 0.5, one right. Bin 4 (0.75 to 1]: 0.875, right.
    rows = [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.125, 0.875]]
    calibration = calibrate(predictions_of(rows, [0, 1, 1, 1]), bins=4)
    assert calibration.bins.tolist() == [2, 4]
    assert calibration.confidence.tolist() == [0.5, 0.875]
    assert calibration.accuracy.tolist() == pytest.approx([1 / 3, 1.0])
    assert calibration.images.tolist() == [3, 1]
    assert calibration.expected_error == pytest.approx((3 * (1 / 2 - 1 / 3) + 1 / 8) / 4)


def test_one_bin_compares_the_means() -> None:
    predictions = random_predictions(8)
    gap = abs(predictions.right.mean() - predictions.probabilities.max(axis=1).mean())
    assert calibrate(predictions, bins=1).expected_error == pytest.approx(gap, abs=1e-6)
