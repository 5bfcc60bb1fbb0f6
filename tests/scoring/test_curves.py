"""Curves of a few images that fit on a sheet of paper."""

import numpy as np
import pytest

from pipeline.scoring.curves import class_curves, sure_answers
from pipeline.scoring.predictions import Predictions


def predictions(first: list[float], labels: list[int]) -> Predictions:
    """Two classes; `first` is the probability of class 0."""
    probabilities = np.array([[p, 1 - p] for p in first], np.float32)
    return Predictions(probabilities, np.array(labels), np.arange(len(labels)))


FOUR = predictions([0.9, 0.8, 0.6, 0.2], [0, 1, 0, 1])
"""By falling probability of class 0: yes, no, yes, no."""


def test_curves_by_hand() -> None:
    """Found one by one: precision 1/1, 1/2, 2/3, 2/4 at recalls 1/2, 1/2, 1, 1."""
    first = class_curves(FOUR)[0]
    points = set(zip(first.recall.round(6), first.precision.round(6), strict=True))
    assert {(0.5, 1.0), (0.5, 0.5), (1.0, 0.666667)} <= points
    assert first.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    corners = set(zip(first.false_alarms, first.hits, strict=True))
    assert {(0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1)} <= corners


def test_the_area_counts_pairs_in_right_order() -> None:
    """Of the four pairs of an image of the class and another one, three are in the right order."""
    assert class_curves(FOUR)[0].roc_area == pytest.approx(3 / 4)


def test_two_classes_mirror_each_other() -> None:
    first, second = class_curves(FOUR)
    assert first.roc_area == pytest.approx(second.roc_area)


def test_random_probabilities_are_worth_chance() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], [1000, 9000])
    first, _ = class_curves(predictions(list(generator.random(10_000)), list(labels)))
    assert first.roc_area == pytest.approx(0.5, abs=0.03)
    assert first.average_precision == pytest.approx(0.1, abs=0.02)


def test_a_class_without_images_has_no_curve() -> None:
    probabilities = np.full((3, 3), 1 / 3, np.float32)
    found = class_curves(Predictions(probabilities, np.array([0, 2, 2]), np.arange(3)))
    assert [curves.label for curves in found] == [0, 2]


def test_a_single_class_has_no_curve() -> None:
    assert class_curves(predictions([0.9, 0.8], [0, 0])) == ()


def test_only_sure_answers() -> None:
    """Confidences 0.9 (right), 0.8 (wrong), 0.6 (right), 0.8 (right)."""
    found = sure_answers(FOUR, 0.75)
    assert found.share == 0.75
    assert found.accuracy == pytest.approx(2 / 3)
    assert sure_answers(FOUR, 0.95).accuracy is None
