"""What is said and drawn about what the networks look at."""

import dataclasses

import numpy as np
import pytest

from pipeline.reporting.results import Candidate
from pipeline.reporting.topics.explanations.attention import attention_sentence, measure_attention
from pipeline.reporting.topics.explanations.features import (
    feature_maps_figure,
    feature_space_figure,
    filters_figure,
    highlighted_classes,
)
from pipeline.reporting.topics.explanations.heatmaps import (
    compared_heatmaps_figure,
    heatmaps_figure,
    overlay,
)
from pipeline.reporting.topics.explanations.section import (
    compared_images,
    compared_rows,
    how_heatmaps_are_made,
    map_caption,
)
from pipeline.scoring.explanations import INPUT_LAYER, Explanations
from pipeline.scoring.predictions import Predictions
from tests.reporting.fake_project import FakeProject
from tests.reporting.reading import Load, lines, panels, plain, texts


def explained(heatmaps: np.ndarray) -> Explanations:
    count = len(heatmaps)
    return Explanations(
        rows=np.arange(count),
        heatmaps=heatmaps.astype(np.float32),
        heatmap_method="hires_cam",
        heatmap_layer="conv",
        feature_rows=np.zeros(0, np.int64),
        feature_maps={},
        feature_channels={},
        filters=None,
        map_rows=np.arange(count),
        pca=np.zeros((count, 2), np.float32),
        tsne=np.zeros((count, 2), np.float32),
        explained_variance=np.zeros(2, np.float32),
    )


def test_attention_by_hand() -> None:
    """A right answer, hot in the middle 2x2 of 4x4; a mistake, hot in one corner; one that is empty."""
    heatmaps = np.zeros((3, 4, 4))
    heatmaps[0, 1:3, 1:3] = 1.0
    heatmaps[1, 0, 0] = 1.0
    predictions = Predictions(
        np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]], np.float32), np.array([0, 1, 1]), np.arange(3)
    )
    found = measure_attention(explained(heatmaps), predictions)
    assert (found.right, found.wrong, found.empty) == (1, 1, 1)
    assert (found.right_extent, found.wrong_extent) == (4 / 16, 1 / 16)
    assert found.middle == 0.5


@pytest.mark.parametrize("side", [1, 2, 3, 4, 7, 8])
def test_even_heat_gives_the_middle_its_area(side: int) -> None:
    predictions = Predictions(np.array([[0.9, 0.1]], np.float32), np.array([0]), np.arange(1))
    found = measure_attention(explained(np.ones((1, side, side))), predictions)
    assert found.middle == pytest.approx(0.25)


def with_heatmaps(candidate: Candidate, heatmaps: np.ndarray, layer: str = "conv_2") -> Candidate:
    explanations = dataclasses.replace(
        candidate.explanations, heatmaps=heatmaps.astype(np.float32), heatmap_layer=layer
    )
    return dataclasses.replace(candidate, explanations=explanations)


def test_where_the_heat_lies(results: Load) -> None:
    """Rows 0, 10, 20, ... and the five mistakes: the upper left quarter, of which a quarter is middle."""
    assert plain(attention_sentence(results(FakeProject()).winner)) == (
        "The places that are at least half as hot as the hottest one cover 25 % of the image in 9 right "
        "answers and 25 % of the image in 5 mistakes (medians); the middle quarter of the image holds "
        "25 % of the heat, about as much as its share of the area."
    )


def test_heat_in_the_middle_or_at_the_edge(results: Load) -> None:
    winner = results(FakeProject()).winner
    middle = np.zeros_like(winner.explanations.heatmaps)
    middle[:, 1:3, 1:3] = 1.0
    assert "100 % of the heat, more than its share of the area" in plain(
        attention_sentence(with_heatmaps(winner, middle))
    )
    assert "0 % of the heat, less than its share of the area" in plain(
        attention_sentence(with_heatmaps(winner, 1.0 - middle))
    )


def test_heatmaps_that_say_nothing(results: Load) -> None:
    winner = results(FakeProject()).winner
    nothing = np.zeros_like(winner.explanations.heatmaps)
    assert attention_sentence(with_heatmaps(winner, nothing)).startswith("In no image shown here")
    nothing[0, 0, 0] = 1.0
    assert "In 13\u00a0images no place speaks" in attention_sentence(with_heatmaps(winner, nothing))


def test_a_network_without_convolutions_has_gradients(results: Load) -> None:
    winner = results(FakeProject()).winner
    assert "Grad-CAM" in how_heatmaps_are_made(winner)
    dense = with_heatmaps(winner, winner.explanations.heatmaps, INPUT_LAYER)
    assert "no convolution" in how_heatmaps_are_made(dense)
    assert "Grad-CAM" not in how_heatmaps_are_made(dense)


def test_maps_with_more_classes_than_colors() -> None:
    some = plain(map_caption(1000, 7, others=True, mistakes=30))
    assert (
        "crosses are mistakes. In color: the 7 classes with the most mistakes; all others are gray." in some
    )
    every = plain(map_caption(1000, 10, others=False, mistakes=0))
    assert every == "1,000 test images, in the color of the actual class."


def test_images_that_networks_are_compared_on(results: Load) -> None:
    """Row 20 is right for Transfer alone; rows 0 and 4 are wrong for all."""
    found = results(FakeProject())
    assert "On 1 of these 3 images" in compared_images(found, np.array([0, 4, 20]))
    assert "all networks are right, or all are wrong" in compared_images(found, np.array([0, 4]))


def test_disputed_images_are_compared_first_then_half_wrong_half_right_ones(results: Load) -> None:
    """All three have heatmaps of 0, 10, 20, ... and of 4, 8, 12, 16, which all get wrong as they do 0.

    Of 20 Transfer alone is right; 10, 30, 40, ... are right for all.
    """
    found = results(FakeProject())
    assert compared_rows(found, 1).tolist() == [20]
    assert compared_rows(found, 5).tolist() == [0, 8, 10, 20, 60]
    assert compared_rows(found, 99).tolist() == [0, 4, 8, 10, 12, 16, *range(20, 100, 10)]


IMAGES = np.zeros((4, 8, 8, 3), np.uint8)


ANSWERS = Predictions(
    np.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4], [0.2, 0.8]], np.float32),
    np.array([0, 0, 1, 1]),
    np.arange(4),
)
"""Rows 0 and 3 are right; 1 and 2 are wrong, 1 with more confidence."""


EXPLAINED = Explanations(
    rows=np.arange(4),
    heatmaps=np.ones((4, 2, 2), np.float32),
    heatmap_method="hires_cam",
    heatmap_layer="conv",
    feature_rows=np.arange(1),
    feature_maps={},
    feature_channels={},
    filters=None,
    map_rows=np.arange(4),
    pca=np.zeros((4, 2), np.float32),
    tsne=np.zeros((4, 2), np.float32),
    explained_variance=np.zeros(2, np.float32),
)


def test_an_overlay_is_gray_where_it_is_cold_and_colored_where_it_is_hot() -> None:
    image = np.full((8, 8, 3), (200, 40, 40), np.uint8)
    heatmap = np.zeros((2, 2), np.float32)
    heatmap[0, 0] = 1.0
    hot = overlay(image, heatmap)
    assert hot.shape == (8, 8, 3)
    cold_corner = hot[-1, -1].astype(int)
    assert np.ptp(cold_corner) == 0
    assert cold_corner[0] == round(0.75 * (0.299 * 200 + 0.587 * 40 + 0.114 * 40))
    assert np.ptp(hot[0, 0].astype(int)) > 50


def test_an_overlay_of_a_gray_image_without_heat_is_that_image_dimmed() -> None:
    image = np.arange(16, dtype=np.uint8).reshape(4, 4, 1) * 16
    dimmed = overlay(image, np.zeros((2, 2), np.float32))
    np.testing.assert_allclose(dimmed, np.repeat(0.75 * image, 3, axis=2), atol=0.51)


def test_heatmaps_stand_below_right_answers_and_mistakes() -> None:
    canvas = panels(heatmaps_figure(IMAGES, ANSWERS, EXPLAINED, ["cat", "dog"], "Title"))[0]
    said = [text.replace("\u00a0", " ") for text in texts(canvas)]
    assert [text for text in said if "sure" in text] == [
        "✓ cat\n90 % sure",
        "✓ dog\n80 % sure",
        "✗ dog\n70 % sure",
        "✗ cat\n60 % sure",
    ]
    assert [text for text in said if "actually" in text] == ["actually cat", "actually dog"]
    assert len(canvas.images) == 2 * 4 + 1  # each image, its heatmap, and the scale of colors
    width, height = canvas.get_figure().get_size_inches()
    assert (canvas.get_xlim(), canvas.get_ylim()) == ((0, width), (height, 0))


def test_a_network_without_mistakes_shows_none() -> None:
    right = Predictions(np.eye(2, dtype=np.float32), np.array([0, 1]), np.arange(2))
    canvas = panels(heatmaps_figure(IMAGES, right, _only(EXPLAINED, 2), ["cat", "dog"], "Title"))[0]
    assert "Right answers" in texts(canvas)
    assert "Mistakes" not in texts(canvas)


def _only(explanations: Explanations, count: int) -> Explanations:
    return dataclasses.replace(
        explanations, rows=explanations.rows[:count], heatmaps=explanations.heatmaps[:count]
    )


def test_heatmaps_of_candidates_are_compared_on_the_same_images() -> None:
    both = {"baseline": (ANSWERS, EXPLAINED), "tuned": (ANSWERS, EXPLAINED)}
    canvas = panels(compared_heatmaps_figure(IMAGES, both, np.array([1, 3]), ["cat", "dog"], "Title"))[0]
    assert texts(canvas) == [
        *("Title", "no part", "most"),
        *("cat", "dog"),
        *("Baseline", "✗ dog", "✓ dog"),
        *("Tuned", "✗ dog", "✓ dog"),
    ]
    assert len(canvas.images) == 1 + 2 * 3


def test_feature_maps_are_stretched_to_their_own_range() -> None:
    channels = np.array([[[2, 7], [4, 7]], [[3, 7], [2, 7]]], np.float32)
    canvas = panels(feature_maps_figure(IMAGES[0], {"conv_1": channels}, "Title"))[0]
    _, first, constant = canvas.images
    np.testing.assert_array_equal(np.asarray(first.get_array())[..., 0], [[0, 255], [128, 0]])
    np.testing.assert_array_equal(np.asarray(constant.get_array()), np.zeros((2, 2, 3)))
    assert "conv_1 (2×2)" in texts(canvas)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_a_filter_is_gray_where_its_weight_is_zero(channels: int) -> None:
    filters = np.zeros((2, 2, channels, 1), np.float32)
    filters[0, 0], filters[1, 1] = 0.2, -0.4
    picture = np.asarray(panels(filters_figure(filters, "Title"))[0].images[0].get_array())
    np.testing.assert_array_equal(picture[..., 0], [[191, 128], [128, 0]])


def test_a_map_marks_classes_and_mistakes() -> None:
    points = np.array([[0, 0], [1, 0], [5, 5], [6, 5]], np.float32)
    right = np.array([True, False, True, True])
    figure = feature_space_figure(points, np.array([0, 0, 1, 1]), right, ["cat", "dog"], "T", ("x", "y"))
    axes = panels(figure)[0]
    assert lines(axes, "class 0") == [([0, 1], [0, 0])]
    assert lines(axes, "class 1") == [([5, 6], [5, 5])]
    assert lines(axes, "mistakes") == [([1], [0])]
    assert texts(axes) == ["cat", "dog"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["cat", "dog", "mistake"]


def test_of_many_classes_a_map_colors_those_with_most_mistakes() -> None:
    labels = np.repeat(np.arange(100), 3)
    right = labels % 10 != 3
    named = highlighted_classes(labels, right, 100)
    assert named.tolist() == [3, 13, 23, 33, 43, 53, 63]
    points = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    figure = feature_space_figure(points, labels, right, [str(i) for i in range(100)], "T", ("", ""))
    assert texts(panels(figure)[0]) == ["3", "13", "23", "33", "43", "53", "63"]
    assert len(lines(panels(figure)[0], "other classes")[0][0]) == 300 - 7 * 3


def test_names_of_classes_in_one_place_do_not_overlap() -> None:
    points = np.array([[0, 0], [9, 9], *[[5, 5]] * 4], np.float32)
    labels = np.array([0, 1, 2, 3, 4, 5])
    names = [f"class {i}" for i in range(6)]
    figure = feature_space_figure(points, labels, labels >= 0, names, "T", ("", ""))
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in panels(figure)[0].texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
