"""Which images of the test subset are explained."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.foundation.array_types import Float32, Int64
from pipeline.scoring.predictions import Predictions


@dataclass(frozen=True)
class ChosenImages:
    """Rows of the test subset, ascending.

    Attributes:
      heatmaps: per candidate its most confident mistakes, the mistakes that all candidates make, and
        right answers spread over the classes.
      feature_maps: the same for all candidates; they have heatmaps too.
      maps: on the maps of features, the same for all candidates.
    """

    heatmaps: dict[str, Int64[np.ndarray, " _"]]
    feature_maps: Int64[np.ndarray, " p"]
    maps: Int64[np.ndarray, " q"]


def choose_images(
    predictions: Mapping[str, Predictions],
    mistakes: int,
    examples: int,
    feature_map_images: int,
    map_images: int,
    seed: int,
) -> ChosenImages:
    """Choose from all candidates' predictions of the same images.

    Args:
      predictions: of the test subset, by candidate.
      mistakes: how many mistakes at most, of each candidate and of those that all make.
      examples: how many right answers of each class at most.
      feature_map_images: how many images have feature maps, at most one per class.
      map_images: how many images the maps of features show at most.
      seed: of the draw for these maps.
    """
    labels = next(iter(predictions.values())).labels
    right = np.stack([each.right for each in predictions.values()])
    confidence = np.mean([each.probabilities.max(axis=1) for each in predictions.values()], axis=0)
    shared = _most_confident(np.flatnonzero(~right.any(axis=0)), confidence, mistakes)
    typical = _typical(predictions, labels, feature_map_images)
    heatmaps = {}
    for name, each in predictions.items():
        own = _most_confident(np.flatnonzero(~each.right), each.probabilities.max(axis=1), mistakes)
        # The same pictures for all candidates as far as all are right, so that they can be compared.
        order = np.lexsort((np.arange(len(labels)), -right.sum(axis=0)))
        answers = _spread_over_classes(order[each.right[order]], labels, examples)
        heatmaps[name] = np.unique(np.concatenate([shared, own, answers, typical]))
    return ChosenImages(heatmaps, typical, stratified(labels, map_images, seed))


def stratified(labels: Int64[np.ndarray, " n"], count: int, seed: int) -> Int64[np.ndarray, " q"]:
    """`count` rows drawn so that every class keeps its share; all rows where there are not more."""
    if len(labels) <= count:
        return np.arange(len(labels))
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    # Evenly spaced among the images in the order of their classes: each class gives its share.
    return np.sort(by_class[np.linspace(0, len(labels) - 1, count).round().astype(np.int64)])


def _most_confident(
    rows: Int64[np.ndarray, " rows"], confidence: Float32[np.ndarray, " n"], count: int
) -> Int64[np.ndarray, " chosen"]:
    return rows[np.argsort(-confidence[rows], kind="stable")[:count]]


def _spread_over_classes(
    rows: Int64[np.ndarray, " rows"], labels: Int64[np.ndarray, " n"], count: int
) -> Int64[np.ndarray, " chosen"]:
    """The first `count` of each class."""
    chosen = [rows[labels[rows] == label][:count] for label in np.unique(labels)]
    return np.concatenate(chosen)


def _typical(
    predictions: Mapping[str, Predictions], labels: Int64[np.ndarray, " n"], count: int
) -> Int64[np.ndarray, " p"]:
    """Of classes evenly spaced among all, the image that the candidates together are surest of."""
    every = np.arange(len(labels))
    sureness = np.sum([each.probabilities[every, labels] for each in predictions.values()], axis=0)
    surest = _spread_over_classes(np.argsort(-sureness, kind="stable"), labels, 1)
    spaced = np.linspace(0, len(surest) - 1, min(count, len(surest))).round().astype(np.int64)
    return np.sort(surest[spaced])
