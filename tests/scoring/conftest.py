"""Predictions made to order."""

from collections.abc import Callable

import numpy as np
import pytest

from pipeline.scoring.predictions import Predictions

Maker = Callable[..., Predictions]


@pytest.fixture
def predictions_of() -> Maker:
    """A function from rows of probabilities and labels to Predictions."""

    def make(probabilities: object, labels: object) -> Predictions:
        rows = np.asarray(probabilities, dtype=np.float32)
        return Predictions(rows, np.asarray(labels, dtype=np.int64), np.arange(len(rows), dtype=np.int64))

    return make


@pytest.fixture
def certain(predictions_of: Maker) -> Maker:
    """A function from predicted and actual classes to Predictions that are sure of themselves."""

    def make(predicted: object, labels: object, num_classes: int) -> Predictions:
        return predictions_of(np.eye(num_classes)[np.asarray(predicted)], labels)

    return make


@pytest.fixture
def random_predictions(predictions_of: Maker) -> Maker:
    """A function from a seed to predictions of a fair model, classes of unequal sizes."""

    def make(seed: int, images: int = 400, num_classes: int = 5) -> Predictions:
        generator = np.random.default_rng(seed)
        labels = generator.choice(num_classes, size=images, p=np.arange(1, num_classes + 1) / 15)
        logits = generator.normal(size=(images, num_classes)) + 1.2 * np.eye(num_classes)[labels]
        exponentials = np.exp(logits)
        return predictions_of(exponentials / exponentials.sum(axis=1, keepdims=True), labels)

    return make
