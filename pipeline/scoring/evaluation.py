"""Models on several subsets: predictions, scores and tests between them, and all of it as tables."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from sklearn.metrics import classification_report

from pipeline.foundation.array_types import Int64
from pipeline.params.evaluate import EvaluateParams
from pipeline.scoring.calibration import Calibration
from pipeline.scoring.intervals import Bootstrap
from pipeline.scoring.paired import ModelComparison, compare
from pipeline.scoring.predictions import Predictions
from pipeline.scoring.scores import DetailedScores, rounded, score


@dataclass(frozen=True)
class Evaluation:
    """One model's predictions and scores by subset."""

    predictions: Mapping[str, Predictions]
    scores: Mapping[str, DetailedScores]


def evaluate_predictions(
    predictions: Mapping[str, Predictions], params: EvaluateParams, seed: int
) -> Evaluation:
    return Evaluation(
        predictions, {name: score(subset, params, seed) for name, subset in predictions.items()}
    )


def compare_all(
    evaluations: Mapping[str, Evaluation], params: EvaluateParams, seed: int
) -> list[ModelComparison]:
    """Every pair of models on every subset."""
    bootstrap = Bootstrap(params.bootstrap_samples, params.confidence, seed)
    return [
        ModelComparison(
            first,
            second,
            subset,
            compare(predictions, evaluations[second].predictions[subset], bootstrap),
        )
        for first, second in combinations(evaluations, 2)
        for subset, predictions in evaluations[first].predictions.items()
    ]


def per_class_csv(evaluations: Mapping[str, Evaluation], class_names: Sequence[str]) -> str:
    rows = (
        (
            candidate,
            subset,
            name,
            rounded(scores.classes.precision[index]),
            rounded(scores.classes.recall[index]),
            rounded(scores.classes.f1[index]),
            scores.classes.support[index],
        )
        for candidate, evaluation in evaluations.items()
        for subset, scores in evaluation.scores.items()
        for index, name in enumerate(class_names)
    )
    return _csv(("candidate", "subset", "class", "precision", "recall", "f1", "support"), rows)


def outcomes_csv(predictions: Predictions, class_names: Sequence[str]) -> str:
    """A row per image, from which `dvc plots` counts a confusion matrix."""
    rows = (
        (class_names[actual], class_names[predicted])
        for actual, predicted in zip(predictions.labels, predictions.predicted, strict=True)
    )
    return _csv(("actual", "predicted"), rows)


def confusion_csv(confusion: Int64[np.ndarray, "k k"], class_names: Sequence[str]) -> str:
    """The matrix as a table: a row per actual class, a column per predicted one."""
    rows = ((name, *counts) for name, counts in zip(class_names, confusion, strict=True))
    return _csv(("actual \\ predicted", *class_names), rows)


def calibration_csv(calibration: Calibration) -> str:
    rows = zip(
        calibration.bins,
        map(rounded, calibration.confidence),
        map(rounded, calibration.accuracy),
        calibration.images,
        strict=True,
    )
    return _csv(("bin", "confidence", "accuracy", "images"), rows)


def classification_report_text(predictions: Predictions, class_names: Sequence[str]) -> str:
    """scikit-learn's report on the classes that occur among the labels or the predictions."""
    occurring = np.union1d(predictions.labels, predictions.predicted)
    report: str = classification_report(
        predictions.labels,
        predictions.predicted,
        labels=occurring,
        target_names=[class_names[label] for label in occurring],
        digits=4,
        zero_division=0,
    )
    return report


def summary_table(evaluations: Mapping[str, Evaluation], best: str) -> str:
    """A line per model for the terminal; a star marks the best."""
    lines = ["                       validation  test accuracy, interval   macro F1 log loss    ECE"]
    for name, evaluation in evaluations.items():
        test = evaluation.scores["test"]
        interval = f"[{test.accuracy_interval.low:.4f}, {test.accuracy_interval.high:.4f}]"
        lines.append(
            f"{'*' if name == best else ' '} {name:<20} {evaluation.scores['validation'].accuracy:>10.4f}"
            f"  {test.accuracy:<6.4f} {interval:<18} {test.f1_macro:>8.4f} {test.log_loss:>8.4f}"
            f" {test.ece:>6.4f}"
        )
    return "\n".join([*lines, "* best on the validation subset"])


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
