"""Which rows of the test subset are worth showing."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pipeline.foundation.array_types import Int64
from pipeline.scoring.predictions import Predictions


def surest_first(predictions: Predictions, rows: Int64[np.ndarray, " rows"]) -> Int64[np.ndarray, " rows"]:
    confidence = predictions.probabilities[rows].max(axis=1, initial=0.0)
    return rows[np.argsort(-confidence, kind="stable")]


def surest_mistakes(predictions: Predictions, most: int) -> Int64[np.ndarray, " rows"]:
    """Wrong answers, the highest probability of the wrong class first."""
    return surest_first(predictions, np.flatnonzero(~predictions.right))[:most]


def of_different_classes(
    predictions: Predictions, rows: Int64[np.ndarray, " rows"], most: int
) -> Int64[np.ndarray, " shown"]:
    """The first of `rows` of every class, then the second ones, and so on; what is chosen, by class."""
    labels, seen = predictions.labels[rows], Counter[int]()
    rounds = np.zeros(len(rows), np.int64)
    for place, label in enumerate(labels.tolist()):
        rounds[place] = seen[label]
        seen[label] += 1
    first = np.argsort(rounds, kind="stable")[:most]
    return rows[first[np.argsort(labels[first], kind="stable")]]


def random_right_answers(
    predictions: Predictions,
    explained: Int64[np.ndarray, " explained"],
    most: int,
    generator: np.random.Generator,
) -> Int64[np.ndarray, " shown"]:
    """Right answers of as many different classes as possible; of each class `explained` rows come first."""
    drawn = generator.permutation(np.flatnonzero(predictions.right))
    with_heatmap = np.isin(drawn, explained)
    return of_different_classes(
        predictions, np.concatenate([drawn[with_heatmap], drawn[~with_heatmap]]), most
    )


def doubtful_labels(every: Sequence[Predictions]) -> Int64[np.ndarray, " rows"]:
    """Images whose label no model believes, the least believed first.

    All models name another class, and so do the means of their probabilities. The lower the mean
    probability of the label, the likelier the label is an error (Kuan and Mueller, "Model-agnostic
    label quality scoring to detect real-world label errors", 2022: ensemble's self-confidence).
    """
    mean = np.mean([predictions.probabilities for predictions in every], axis=0)
    labels = every[0].labels
    wrong = np.logical_and.reduce([~predictions.right for predictions in every])
    rows = np.flatnonzero(wrong & (mean.argmax(axis=1) != labels))
    return rows[np.argsort(mean[rows, labels[rows]], kind="stable")]
