"""Which rows of the test subset are worth showing."""

import numpy as np

from pipeline.reporting.selection import doubtful_labels, of_different_classes, surest_mistakes
from pipeline.scoring.predictions import Predictions
from tests.reporting.reading import predicted


def test_rows_of_different_classes_are_spread_over_the_classes() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    right = Predictions(np.eye(3, dtype=np.float32)[labels], labels, np.arange(6))
    assert of_different_classes(right, np.arange(6), 3).tolist() == [0, 3, 5]
    assert of_different_classes(right, np.arange(6), 4).tolist() == [0, 1, 3, 5]
    assert of_different_classes(right, np.arange(0), 4).tolist() == []


def test_the_surest_mistakes_come_first() -> None:
    answers = predicted([[0.9, 0.1], [0.3, 0.7], [0.8, 0.2], [0.6, 0.4]], [0, 0, 1, 1])
    assert surest_mistakes(answers, 9).tolist() == [2, 1, 3]
    assert surest_mistakes(answers, 1).tolist() == [2]


def test_labels_that_no_model_believes_come_first() -> None:
    """Row 0: one model believes the label. Row 1: none, 0.3 on average. Row 2: none, 0.1."""
    every = [
        predicted([[0.9, 0.1], [0.4, 0.6], [0.1, 0.9]], [0, 0, 0]),
        predicted([[0.1, 0.9], [0.2, 0.8], [0.1, 0.9]], [0, 0, 0]),
    ]
    assert doubtful_labels(every).tolist() == [2, 1]


def test_models_that_disagree_among_each_other_may_believe_the_label_together() -> None:
    every = [predicted([[0.4, 0.6, 0.0]], [0]), predicted([[0.4, 0.0, 0.6]], [0])]
    assert doubtful_labels(every).tolist() == []
