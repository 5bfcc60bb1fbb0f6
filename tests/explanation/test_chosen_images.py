"""Which images are explained."""

import numpy as np
import pytest

from pipeline.explanation.chosen_images import ChosenImages, choose_images, stratified
from pipeline.scoring.predictions import Predictions


def predictions(confidences: list[float], labels: list[int]) -> Predictions:
    """Two classes; the probability of class 1 of each image."""
    second = np.array(confidences)
    return Predictions(
        np.stack([1 - second, second], axis=1).astype(np.float32),
        np.array(labels),
        np.arange(len(labels)),
    )


LABELS = [0, 0, 0, 0, 1, 1, 1, 1]
BASELINE = predictions([0.1, 0.9, 0.6, 0.2, 0.7, 0.9, 0.3, 0.8], LABELS)  # wrong in 1, 2, 6
TUNED = predictions([0.2, 0.7, 0.1, 0.8, 0.6, 0.4, 0.2, 0.9], LABELS)  # wrong in 1, 3, 5, 6


def choose(mistakes: int, examples: int, feature_map_images: int = 1) -> ChosenImages:
    candidates = {"baseline": BASELINE, "tuned": TUNED}
    return choose_images(candidates, mistakes, examples, feature_map_images, 100, seed=0)


def test_mistakes_of_all_of_each_and_right_answers_of_every_class() -> None:
    chosen = choose(mistakes=1, examples=1)
    # Both are wrong in 1 (0.9 and 0.7 sure, together 1.6) and 6 (0.7 and 0.8, together 1.5).
    # baseline is surest of mistake 1, tuned of 3 and 6 alike. Right in both are 0 and 4, the first of
    # their classes. Class 0 is spaced first: together they are surest of image 0.
    assert chosen.heatmaps["baseline"].tolist() == [0, 1, 4]
    assert chosen.heatmaps["tuned"].tolist() == [0, 1, 3, 4]
    assert chosen.feature_maps.tolist() == [0]


def test_enough_room_takes_every_mistake() -> None:
    chosen = choose(mistakes=10, examples=0)
    assert set(chosen.heatmaps["baseline"]) == {1, 2, 6} | {0}
    assert set(chosen.heatmaps["tuned"]) == {1, 3, 5, 6} | {0}


def test_feature_maps_of_the_surest_image_of_each_class() -> None:
    chosen = choose(mistakes=0, examples=0, feature_map_images=5)
    assert chosen.feature_maps.tolist() == [0, 7]
    assert chosen.heatmaps["tuned"].tolist() == [0, 7]


@pytest.mark.parametrize("count", [50, 101, 999])
def test_every_class_keeps_its_share(count: int) -> None:
    labels = np.repeat([0, 1, 2], [700, 250, 50])
    rows = stratified(labels, count, seed=0)
    assert len(rows) == count == len(np.unique(rows))
    shares = np.bincount(labels[rows]) / count
    np.testing.assert_allclose(shares, [0.7, 0.25, 0.05], atol=1.5 / count)
    np.testing.assert_array_equal(rows, stratified(labels, count, seed=0))
    assert (np.diff(rows) > 0).all()


def test_a_draw_is_spread_within_its_class() -> None:
    rows = stratified(np.zeros(1000, np.int64), 100, seed=0)
    assert np.diff(rows).max() > 20  # not every tenth image, which neighbors of a kind could rule


def test_all_rows_where_there_are_not_more() -> None:
    assert stratified(np.array([1, 0, 1]), 3, seed=0).tolist() == [0, 1, 2]
