"""Means over seeds and what is more than chance between them, against figures from tables and by hand."""

import math

import numpy as np
import pytest

from pipeline.scoring.intervals import Interval
from pipeline.scoring.repetitions import (
    Estimate,
    estimate,
    holm,
    paired_difference,
    smallest_difference_to_show,
)

# Two-sided 5 % points of Student's t, from any table: 2 and 4 degrees of freedom.
T_2, T_4 = 4.303, 2.776


def test_a_mean_with_its_interval() -> None:
    # Mean 0.9, deviation 0.01, standard error 0.01 / sqrt(3).
    found = estimate(np.array([0.89, 0.90, 0.91]), 0.95)
    assert found.count == 3
    assert found.mean == pytest.approx(0.9)
    assert found.deviation == pytest.approx(0.01)
    margin = T_2 * 0.01 / math.sqrt(3)
    assert found.interval.high == pytest.approx(0.9 + margin, abs=1e-5)
    assert found.interval.low == pytest.approx(0.9 - margin, abs=1e-5)


def test_a_difference_is_that_of_the_pairs() -> None:
    # Seeds move both alike: differences 1, 2, 3 (in hundredths), mean 2, deviation 1, t = 2 / (1 / sqrt(3)).
    found = paired_difference(np.array([0.51, 0.72, 0.93]), np.array([0.50, 0.70, 0.90]), 0.95)
    assert found.estimate.mean == pytest.approx(0.02)
    assert found.estimate.deviation == pytest.approx(0.01)
    assert found.estimate.interval.low == pytest.approx(0.02 - T_2 * 0.01 / math.sqrt(3), abs=1e-5)
    # With 2 degrees of freedom P(T > t) is (1 - t / sqrt(2 + t^2)) / 2.
    t = 2 * math.sqrt(3)
    assert found.p_value == pytest.approx(1 - t / math.sqrt(2 + t * t))


@pytest.mark.parametrize("ahead", [0.0, 0.1])
def test_differences_that_are_all_equal_prove_nothing(ahead: float) -> None:
    reference = np.array([0.1, 0.2, 0.3])
    found = paired_difference(reference + ahead, reference, 0.95)
    assert found.p_value is None
    assert found.estimate.mean == pytest.approx(ahead)


def test_holm_by_hand() -> None:
    # Sorted: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1, which may not be below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_ends_at_one() -> None:
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_what_could_not_be_tested_counts_all_the_same() -> None:
    assert holm([0.01, None, 0.02]) == [pytest.approx(0.03), None, pytest.approx(0.04)]


def test_holm_keeps_its_promise(arrays_unchecked: None) -> None:
    """Of 1,000 studies without any effect, about 5 % at most find one; uncorrected, far more would."""
    generator = np.random.default_rng(0)
    found = uncorrected = 0
    for _ in range(1000):
        reference, *others = generator.normal(size=(6, 5))
        values = [paired_difference(each, reference, 0.95).p_value for each in others]
        found += min(p for p in holm(values) if p is not None) < 0.05
        uncorrected += min(p for p in values if p is not None) < 0.05
    assert found / 1000 < 0.065
    assert uncorrected / 1000 > 0.12


def test_the_smallest_difference_that_could_be_shown() -> None:
    spread = estimate(np.array([0.0, 0.01, 0.02, 0.03, 0.04]), 0.95)
    deviation = 0.01 * math.sqrt(2.5)
    alone = smallest_difference_to_show([spread], 1, 0.05)
    assert alone == pytest.approx(T_4 * deviation / math.sqrt(5), abs=1e-5)
    # It is where the test turns: the same differences, moved so far, have p = 0.05 exactly.
    assert alone is not None
    differences = np.array([-0.02, -0.01, 0.0, 0.01, 0.02]) + alone
    assert paired_difference(differences, np.zeros(5), 0.95).p_value == pytest.approx(0.05)
    assert smallest_difference_to_show([], 1, 0.05) is None


def test_more_comparisons_and_fewer_seeds_ask_for_more() -> None:
    three, five = (Estimate(count, 0.0, 0.01, Interval(0.0, 0.0)) for count in (3, 5))
    of_five = smallest_difference_to_show([five], 1, 0.05)
    of_three = smallest_difference_to_show([three], 1, 0.05)
    corrected = smallest_difference_to_show([five], 5, 0.05)
    assert of_five is not None
    assert of_three is not None
    assert corrected is not None
    assert of_three > 1.9 * of_five
    # Two-sided 1 % point of t with 4 degrees of freedom: 4.604.
    assert corrected == pytest.approx(4.604 * 0.01 / math.sqrt(5), abs=1e-5)
