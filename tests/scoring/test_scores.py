"""Scores against scikit-learn and against figures computed by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import write_json
from pipeline.scoring.intervals import Bootstrap
from pipeline.scoring.scores import (
    confusion_matrix,
    f1_macro_interval,
    load_scores,
    rounded,
    save_scores,
    score,
    top_k_accuracy,
)
from tests.evaluate_params import evaluate_params
from tests.scoring.made_predictions import certain, predictions_of, random_predictions

PARAMS = evaluate_params(batch_size=10, top_k=3, calibration_bins=15, bootstrap_samples=200, confidence=0.95)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_agrees_with_scikit_learn(seed: int) -> None:
    predictions = random_predictions(seed)
    labels, predicted, probabilities = predictions.labels, predictions.predicted, predictions.probabilities
    scores = score(predictions, PARAMS, seed=0)

    assert scores.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert scores.top_k_accuracy == pytest.approx(metrics.top_k_accuracy_score(labels, probabilities, k=3))
    assert scores.log_loss == pytest.approx(metrics.log_loss(labels, probabilities))
    brier = metrics.brier_score_loss(labels, probabilities, scale_by_half=False)
    assert scores.brier_score == pytest.approx(brier)
    np.testing.assert_array_equal(scores.confusion, metrics.confusion_matrix(labels, predicted))
    for average in ("macro", "weighted"):
        expected = metrics.precision_recall_fscore_support(
            labels, predicted, average=average, zero_division=0
        )
        found = [getattr(scores, f"{name}_{average}") for name in ("precision", "recall", "f1")]
        assert found == pytest.approx(expected[:3])
    per_class = metrics.precision_recall_fscore_support(labels, predicted, zero_division=0)
    for name, expected in zip(("precision", "recall", "f1", "support"), per_class, strict=True):
        np.testing.assert_allclose(getattr(scores.classes, name), expected)


def test_three_images_by_hand() -> None:
    # Class 0 is found once and claimed once wrongly, class 1 missed, class 2 found.
    predictions = predictions_of([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.0, 0.0, 1.0]], [0, 1, 2])
    scores = score(predictions, PARAMS.model_copy(update={"top_k": 2}), seed=0)
    assert scores.accuracy == pytest.approx(2 / 3)
    assert scores.top_k_accuracy == 1.0  # classes 1 and 2 tie for second place; the first counts
    assert scores.precision_macro == pytest.approx((1 / 2 + 0 + 1) / 3)
    assert scores.recall_macro == pytest.approx((1 + 0 + 1) / 3)
    assert scores.f1_macro == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert scores.log_loss == pytest.approx((math.log(2) + math.log(4) + 0) / 3)
    # (0.5² + 2·0.25²) + (0.75² + 0.5² + 0.25²) + 0
    assert scores.brier_score == pytest.approx((0.375 + 0.875) / 3)
    assert confusion_matrix(predictions).tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1]]


def test_perfect_predictor() -> None:
    labels = np.arange(40) % 4
    values = score(certain(labels, labels, 4), PARAMS, seed=0).to_json()
    for name in ("log_loss", "brier_score", "ece"):
        assert values.pop(name) == 0.0
    assert values.pop("images") == 40
    assert set(values.values()) == {1.0}


def test_constant_predictor() -> None:
    # 6 of 10 images are of the class that it always predicts, with certainty.
    labels = [0] * 6 + [1] * 3 + [2]
    scores = score(certain([0] * 10, labels, 3), PARAMS, seed=0)
    assert scores.accuracy == 0.6
    assert scores.recall_macro == pytest.approx(1 / 3)
    assert scores.precision_macro == pytest.approx(0.6 / 3)
    assert scores.f1_macro == pytest.approx(0.75 / 3)
    assert scores.f1_weighted == pytest.approx(0.6 * 0.75)
    assert scores.calibration.expected_error == pytest.approx(0.4)
    assert scores.brier_score == pytest.approx(0.4 * 2)
    assert scores.log_loss == pytest.approx(0.4 * -math.log(np.finfo(np.float32).eps))


def test_uniform_predictor() -> None:
    scores = score(predictions_of(np.full((20, 4), 0.25), np.arange(20) % 4), PARAMS, seed=0)
    assert scores.log_loss == pytest.approx(math.log(4))
    assert scores.brier_score == pytest.approx(0.75)
    assert scores.accuracy == 0.25
    assert scores.top_k_accuracy == 0.75
    assert scores.calibration.expected_error == pytest.approx(0.0)


def test_top_1_is_accuracy_and_top_all_is_1() -> None:
    predictions = random_predictions(4)
    assert top_k_accuracy(predictions, 1) == predictions.right.mean()
    assert top_k_accuracy(predictions, 5) == top_k_accuracy(predictions, 50) == 1.0


def test_subset_with_a_single_class() -> None:
    # Nothing is said about class 2: it has no images and is never predicted.
    scores = score(certain([1, 1, 1, 0], [1, 1, 1, 1], 3), PARAMS, seed=0)
    assert scores.accuracy == 0.75
    assert scores.recall_macro == pytest.approx(0.75 / 2)
    assert scores.f1_macro == pytest.approx((0 + 6 / 7) / 2)
    assert scores.f1_weighted == pytest.approx(6 / 7)
    assert scores.classes.support.tolist() == [0, 4, 0]
    assert all(math.isfinite(value) for value in scores.to_json().values())


@pytest.mark.usefixtures("arrays_unchecked")
def test_f1_interval_agrees_with_resampling_the_images() -> None:
    predictions = random_predictions(5, images=300)
    found = f1_macro_interval(confusion_matrix(predictions), Bootstrap(4000, 0.9, seed=1))
    generator = np.random.default_rng(2)
    values = []
    for _ in range(600):
        rows = generator.integers(0, 300, size=300)
        values.append(
            metrics.f1_score(predictions.labels[rows], predictions.predicted[rows], average="macro")
        )
    low, high = np.quantile(values, (0.05, 0.95))
    # The quantiles of 600 values scatter by about 0.003.
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)


def test_scores_are_named_after_k_and_rounded() -> None:
    values = score(random_predictions(6), PARAMS.model_copy(update={"top_k": 2}), seed=0).to_json()
    assert "top_2_accuracy" in values
    assert "top_3_accuracy" not in values
    assert all(value == round(value, 6) for value in values.values())
    assert all(type(value) in (int, float) for value in values.values())


def test_same_seed_same_intervals() -> None:
    predictions = random_predictions(7)
    first, again, other = (score(predictions, PARAMS, seed=seed).to_json() for seed in (1, 1, 2))
    assert first == again
    assert {name for name in first if first[name] != other[name]} <= {
        "accuracy_low",
        "accuracy_high",
        "f1_macro_low",
        "f1_macro_high",
    }
    assert first != other


def test_saved_scores_come_back_typed(tmp_path: Path) -> None:
    scores = score(random_predictions(6), PARAMS, seed=0)
    save_scores(tmp_path / "scores.json", {"baseline": {"test": scores}})
    loaded = load_scores(tmp_path / "scores.json")["baseline"]["test"]
    assert loaded.to_json() == scores.to_json()
    assert loaded.f1_macro_interval.low == rounded(scores.f1_macro_interval.low)
    assert (loaded.top_k, loaded.images) == (PARAMS.top_k, 400)


@pytest.mark.parametrize("change", [{"top_3_accuracy": None}, {"extra": 1.0}], ids=["lacks one", "has more"])
def test_scores_of_another_form_are_refused(tmp_path: Path, change: dict[str, float | None]) -> None:
    values = {**score(random_predictions(6), PARAMS, seed=0).to_json(), **change}
    kept = {name: value for name, value in values.items() if value is not None}
    write_json(tmp_path / "scores.json", {"baseline": {"test": kept}})
    with pytest.raises(PipelineError, match="does not hold scores"):
        load_scores(tmp_path / "scores.json")
