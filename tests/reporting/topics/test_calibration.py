"""What is said and drawn about confidence and thresholds must change with the figures."""

import numpy as np
import pytest

from pipeline.reporting.topics.comparison.calibration import (
    calibration,
    confidence_figure,
    confidences,
    rejection,
    reliability_figure,
)
from pipeline.reporting.topics.comparison.curves import (
    false_alarm_limit,
    precision_recall_figure,
    roc_figure,
    separation,
)
from pipeline.scoring.calibration import Calibration
from pipeline.scoring.curves import class_curves
from pipeline.scoring.predictions import Predictions
from tests.reporting.fake_project import FakeProject
from tests.reporting.reading import Load, lines, panels, plain, with_test


@pytest.mark.parametrize(
    ("confidence", "right", "said"),
    [
        (0.99, 800, "is too sure of itself, by 19.0 points"),
        (0.70, 900, "is too cautious, by 20.0 points, as label smoothing (0.1) tends"),
        (0.90, 905, "is, on the whole, as sure as it should be"),
    ],
)
def test_confidence(results: Load, confidence: float, right: int, said: str) -> None:
    labels = [0] * right + [1] * (1000 - right)
    candidate = with_test(results(FakeProject()).winner, [[confidence, 1 - confidence]] * 1000, labels)
    assert said in calibration(candidate)


@pytest.mark.parametrize(
    ("confidences", "said"),
    [
        ([0.95, 0.99, 0.6, 0.6], "answer for 50.0 % of the test images and be right on 50.0 % of those"),
        ([0.8, 0.8, 0.6, 0.6], "is not 90 % sure of any answer."),
        ([0.95, 0.99, 0.9, 0.92], "is at least 90 % sure of every answer."),
    ],
)
def test_answers_above_a_threshold(results: Load, confidences: list[float], said: str) -> None:
    """Class 0 is always named; the first image and the third are of it."""
    probabilities = [[confidence, 1 - confidence] for confidence in confidences]
    candidate = with_test(results(FakeProject()).winner, probabilities, [0, 1, 0, 1])
    assert said in plain(rejection(candidate))


def test_medians_of_confidence(results: Load) -> None:
    winner = results(FakeProject()).winner
    both = with_test(winner, [[0.9, 0.1], [0.7, 0.3], [0.6, 0.4]], [0, 0, 1])
    assert plain(confidences(both)) == (
        "Median confidence: 80 % where it is right and 60 % where it is wrong."
    )
    perfect = with_test(winner, [[0.9, 0.1]], [0])
    assert plain(confidences(perfect)) == "Median confidence: 90 % where it is right."


def test_classes_that_can_be_separated(results: Load) -> None:
    candidate = with_test(results(FakeProject()).winner, [[0.6, 0.4], [0.55, 0.45]], [0, 1])
    curves = class_curves(candidate.predictions)
    assert "Every class has a threshold" in separation(candidate, curves, ("a", "b"))
    reversed_ = with_test(candidate, [[0.55, 0.45], [0.6, 0.4], [0.1, 0.9]], [0, 1, 1])
    curves = class_curves(reversed_.predictions)
    assert "Hardest to separate is “a” (average precision 0.500)" in plain(
        separation(reversed_, curves, ("a", "b"))
    )


def test_reliability_shows_bins_and_hollow_points_for_few_images() -> None:
    calibration = Calibration(
        bins=np.array([6, 9]),
        confidence=np.array([0.55, 0.85]),
        accuracy=np.array([0.2, 0.9]),
        images=np.array([9, 91]),
    )
    diagram, histogram = panels(reliability_figure(calibration, "blue", "Title"))
    _, many, few = diagram.lines
    assert (list(many.get_xdata()), list(many.get_ydata())) == ([0.85], [0.9])
    assert (list(few.get_xdata()), list(few.get_ydata())) == ([0.55], [0.2])
    assert few.get_markerfacecolor() == "white"
    assert [bar.get_height() for bar in histogram.patches] == [9, 91]


def test_confidence_of_right_and_wrong_answers() -> None:
    confidence, right = np.array([0.9, 0.7, 0.6, 0.8]), np.array([True, False, False, True])
    upper, lower = panels(confidence_figure(confidence, right, "Title"))
    assert sum(bar.get_height() for bar in upper.patches) == 2
    assert sum(bar.get_height() for bar in lower.patches) == 2
    assert lines(upper, "median")[0][0][0] == pytest.approx(0.85)
    assert lines(lower, "median")[0][0][0] == pytest.approx(0.65)


def test_curves_name_the_hardest_classes() -> None:
    """Class 0 is found at once; classes 1 and 2 are mixed up with each other."""
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.5, 0.4], [0.1, 0.4, 0.5], [0.1, 0.6, 0.3]], np.float32)
    curves = class_curves(Predictions(probabilities, np.array([0, 1, 1, 2]), np.arange(4)))
    for draw in (precision_recall_figure, roc_figure):
        axes = panels(draw(curves, ["cat", "dog", "bird"], "Title"))[0]
        named = [text.get_text() for text in axes.get_legend().get_texts()]
        assert named[0].startswith("bird (")
        assert named[2] == "cat (1.000)"


def test_the_axis_of_false_alarms_ends_where_nearly_all_are_found() -> None:
    probabilities = np.full((102, 2), 0.5, np.float32)
    probabilities[0] = 0.9, 0.1  # the image of class 0, found before any other
    probabilities[1:, 0] = np.linspace(0.8, 0.1, 101)
    labels = np.array([0, *[1] * 101])
    perfect = class_curves(Predictions(probabilities, labels, np.arange(102)))[:1]
    assert false_alarm_limit(perfect) == 0.02
    probabilities[0, 0] = 0.59  # thirty of the others come first
    late = class_curves(Predictions(probabilities, labels, np.arange(102)))[:1]
    assert false_alarm_limit(late) == 0.5
