"""Sentences about heatmaps, curves and confidence must change with the figures they are about."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.reporting import observations
from pipeline.reporting.results import Candidate, Results
from pipeline.scoring.curves import class_curves
from pipeline.scoring.explanations import INPUT_LAYER
from pipeline.scoring.predictions import Predictions
from tests.reporting.fake_project import FakeProject

Load = Callable[[FakeProject], Results]


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def with_heatmaps(candidate: Candidate, heatmaps: np.ndarray, layer: str = "conv_2") -> Candidate:
    explanations = dataclasses.replace(
        candidate.explanations, heatmaps=heatmaps.astype(np.float32), heatmap_layer=layer
    )
    return dataclasses.replace(candidate, explanations=explanations)


def with_test(candidate: Candidate, probabilities: list[list[float]], labels: list[int]) -> Candidate:
    predictions = Predictions(np.array(probabilities, np.float32), np.array(labels), np.arange(len(labels)))
    return dataclasses.replace(candidate, predictions={"test": predictions})


def test_where_the_heat_lies(results: Load) -> None:
    """Rows 0, 10, 20, ... and the five mistakes: the upper left quarter, of which a quarter is middle."""
    assert plain(observations.attention(results(FakeProject()).winner)) == (
        "The places that are at least half as hot as the hottest one cover 25 % of the image in 9 right "
        "answers and 25 % of the image in 5 mistakes (medians); the middle quarter of the image holds "
        "25 % of the heat, about what its area would."
    )


def test_heat_in_the_middle_or_at_the_edge(results: Load) -> None:
    winner = results(FakeProject()).winner
    middle = np.zeros_like(winner.explanations.heatmaps)
    middle[:, 1:3, 1:3] = 1.0
    assert "100 % of the heat, more than its area would" in plain(
        observations.attention(with_heatmaps(winner, middle))
    )
    assert "0 % of the heat, less than its area would" in plain(
        observations.attention(with_heatmaps(winner, 1.0 - middle))
    )


def test_heatmaps_that_say_nothing(results: Load) -> None:
    winner = results(FakeProject()).winner
    nothing = np.zeros_like(winner.explanations.heatmaps)
    assert observations.attention(with_heatmaps(winner, nothing)).startswith("In no image shown here")
    nothing[0, 0, 0] = 1.0
    assert "In 13\u00a0images no place speaks" in observations.attention(with_heatmaps(winner, nothing))


def test_a_network_without_convolutions_has_gradients(results: Load) -> None:
    winner = results(FakeProject()).winner
    assert "Grad-CAM" in observations.how_heatmaps_are_made(winner)
    dense = with_heatmaps(winner, winner.explanations.heatmaps, INPUT_LAYER)
    assert "no convolution" in observations.how_heatmaps_are_made(dense)
    assert "Grad-CAM" not in observations.how_heatmaps_are_made(dense)
    assert observations.heatmap_source(dense) == "the gradients by the pixels"


def test_maps_with_more_classes_than_colors() -> None:
    some = plain(observations.map_caption(1000, 7, others=True, mistakes=30))
    assert "crosses are mistakes. In color: the 7 classes with most mistakes; all others gray." in some
    every = plain(observations.map_caption(1000, 10, others=False, mistakes=0))
    assert every == "1,000 test images, in the color of the actual class."


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
    assert said in plain(observations.rejection(candidate))


def test_medians_of_confidence(results: Load) -> None:
    winner = results(FakeProject()).winner
    both = with_test(winner, [[0.9, 0.1], [0.7, 0.3], [0.6, 0.4]], [0, 0, 1])
    assert plain(observations.confidences(both)) == (
        "Median confidence: 80 % where it is right and 60 % where it is wrong."
    )
    perfect = with_test(winner, [[0.9, 0.1]], [0])
    assert plain(observations.confidences(perfect)) == "Median confidence: 90 % where it is right."


def test_classes_that_can_be_separated(results: Load) -> None:
    candidate = with_test(results(FakeProject()).winner, [[0.6, 0.4], [0.55, 0.45]], [0, 1])
    curves = class_curves(candidate.predictions["test"])
    assert "Every class has a threshold" in observations.separation(candidate, curves, ("a", "b"))
    reversed_ = with_test(candidate, [[0.55, 0.45], [0.6, 0.4], [0.1, 0.9]], [0, 1, 1])
    curves = class_curves(reversed_.predictions["test"])
    assert "Hardest to separate is “a” (average precision 0.500)" in plain(
        observations.separation(reversed_, curves, ("a", "b"))
    )


def test_images_that_networks_are_compared_on(results: Load) -> None:
    """Row 20 is right for Transfer alone; rows 0 and 4 are wrong for all."""
    found = results(FakeProject())
    assert "On 1 of these 3 images" in observations.compared_images(found, np.array([0, 4, 20]))
    assert "all networks are right, or all are wrong" in observations.compared_images(found, np.array([0, 4]))
