"""McNemar's test and the paired bootstrap."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from pipeline.scoring.intervals import Bootstrap
from pipeline.scoring.paired import (
    ModelComparison,
    compare,
    load_comparisons,
    mcnemar_exact,
    save_comparisons,
)
from tests.scoring.made_predictions import certain, random_predictions

BOOTSTRAP = Bootstrap(samples=4000, confidence=0.95, seed=0)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (5, 5), (3, 9), (9, 3), (40, 71), (812, 730)])
def test_agrees_with_scipy(first: int, second: int) -> None:
    expected = binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar_exact(first, second) == pytest.approx(expected, rel=1e-9)


def test_by_hand() -> None:
    # One of six disagreements falls to the second: 2 · (C(6,0) + C(6,1)) / 2⁶.
    assert mcnemar_exact(5, 1) == 14 / 64


def test_numbers_beyond_floating_point() -> None:
    assert mcnemar_exact(0, 5000) == 0.0
    assert mcnemar_exact(2000, 2000) == 1.0
    assert 0.0 < mcnemar_exact(5100, 4900) < 0.05


def test_counts_and_difference() -> None:
    # Eight images of class 0: both right, only the first (3 times), only the second, neither (3 times).
    first = certain([0, 0, 0, 0, 1, 1, 1, 1], [0] * 8, 2)
    second = certain([0, 1, 1, 1, 0, 1, 1, 1], [0] * 8, 2)
    comparison = compare(first, second, BOOTSTRAP)
    assert (comparison.only_first_right, comparison.only_second_right) == (3, 1)
    assert comparison.accuracy_difference == pytest.approx(2 / 8)
    assert comparison.p_value == 10 / 16
    assert comparison.interval.low < 0 < comparison.interval.high

    swapped = compare(second, first, BOOTSTRAP)
    assert (swapped.only_first_right, swapped.only_second_right) == (1, 3)
    assert swapped.p_value == comparison.p_value
    assert swapped.accuracy_difference == -comparison.accuracy_difference


def test_model_against_itself() -> None:
    predictions = random_predictions(1)
    comparison = compare(predictions, predictions, BOOTSTRAP)
    assert comparison.p_value == 1.0
    assert (comparison.interval.low, comparison.interval.high) == (0.0, 0.0)


def test_interval_agrees_with_resampling_the_images() -> None:
    generator = np.random.default_rng(9)
    labels = np.zeros(500, dtype=np.int64)
    shared = generator.random(500) < 0.1  # hard images, wrong for both: what makes pairing worth while
    first = certain((shared | (generator.random(500) < 0.04)).astype(int), labels, 2)
    second = certain((shared | (generator.random(500) < 0.10)).astype(int), labels, 2)
    found = compare(first, second, BOOTSTRAP).interval
    rows = generator.integers(0, 500, size=(4000, 500))
    differences = first.right[rows].mean(axis=1) - second.right[rows].mean(axis=1)
    # Differences come in steps of 1/500.
    assert (found.low, found.high) == pytest.approx(np.quantile(differences, (0.025, 0.975)), abs=0.004)


def test_equally_good_models_are_rarely_told_apart() -> None:
    generator = np.random.default_rng(10)
    rounds = 2000
    first_only = generator.binomial(60, 0.5, size=rounds)
    rejected = sum(mcnemar_exact(int(count), 60 - int(count)) <= 0.05 for count in first_only)
    assert 0.01 < rejected / rounds <= 0.05  # exact: never above its level, and not far below it


def test_other_images_cannot_be_compared() -> None:
    with pytest.raises(AssertionError):
        compare(random_predictions(1), random_predictions(2), BOOTSTRAP)


def test_a_saved_comparison_comes_back(tmp_path: Path) -> None:
    comparison = compare(certain([1, 0, 1], [1, 1, 1], 2), certain([0, 1, 1], [1, 1, 1], 2), BOOTSTRAP)
    saved = [ModelComparison("baseline", "tuned", "test", comparison)]
    save_comparisons(tmp_path / "comparisons.json", saved)
    [loaded] = load_comparisons(tmp_path / "comparisons.json")
    assert loaded.to_json() == saved[0].to_json()
    assert (loaded.first, loaded.second, loaded.comparison.only_first_right) == ("baseline", "tuned", 1)
