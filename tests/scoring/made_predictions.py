"""Predictions made to order."""

import numpy as np
from numpy.typing import ArrayLike

from pipeline.scoring.predictions import Predictions


def predictions_of(probabilities: ArrayLike, labels: ArrayLike) -> Predictions:
    """Rows of probabilities and their labels."""
    rows = np.asarray(probabilities, dtype=np.float32)
    return Predictions(rows, np.asarray(labels, dtype=np.int64), np.arange(len(rows), dtype=np.int64))


def certain(predicted: ArrayLike, labels: ArrayLike, num_classes: int) -> Predictions:
    """Predictions that are sure of themselves."""
    return predictions_of(np.eye(num_classes)[np.asarray(predicted)], labels)


def random_predictions(seed: int, images: int = 400, num_classes: int = 5) -> Predictions:
    """Predictions of a fair model, classes of unequal sizes."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(num_classes, size=images, p=np.arange(1, num_classes + 1) / 15)
    logits = generator.normal(size=(images, num_classes)) + 1.2 * np.eye(num_classes)[labels]
    exponentials = np.exp(logits)
    return predictions_of(exponentials / exponentials.sum(axis=1, keepdims=True), labels)
