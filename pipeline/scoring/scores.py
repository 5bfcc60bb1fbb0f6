"""Classification scores of one model on one subset."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.foundation.array_types import Bool, Float64, Int64
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import read_json, write_json
from pipeline.params.evaluate import EvaluateParams
from pipeline.scoring.calibration import Calibration, calibrate
from pipeline.scoring.intervals import Bootstrap, Interval, percentile_interval, resample
from pipeline.scoring.predictions import Predictions

_DECIMALS = 6  # finer than one image in a million; keeps the metrics in git short
_TOP_K = re.compile(r"top_(\d+)_accuracy")


@dataclass(frozen=True)
class ClassScores:
    """Precision, recall and F1 of each class, of one set of predictions or of many resamples of it.

    A ratio without a denominator (a class never predicted, a class without images) is 0.

    Attributes:
      support: the number of images of each class.
      occurs: the class has images or is predicted; only such classes count in macro averages.
    """

    precision: Float64[np.ndarray, "*samples k"]
    recall: Float64[np.ndarray, "*samples k"]
    f1: Float64[np.ndarray, "*samples k"]
    support: Int64[np.ndarray, "*samples k"]
    occurs: Bool[np.ndarray, "*samples k"]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of one model on one subset, each a single number.

    Macro averages are means over the classes that occur among the labels or the predictions;
    weighted averages weigh each class by its number of images.

    Attributes:
      top_k_accuracy: share of images whose class is among the `top_k` most probable ones.
      log_loss: mean negative natural logarithm of the actual class's probability.
      brier_score: mean over images of the squared distance between the probabilities and the one-hot
        label, summed over the classes: 0 (perfect) to 2 (Brier, 1950).
      ece: expected calibration error, see `Calibration.expected_error`.
      images: how many the subset has.
    """

    accuracy: float
    accuracy_interval: Interval
    top_k: int
    top_k_accuracy: float
    precision_macro: float
    recall_macro: float
    f1_macro: float
    f1_macro_interval: Interval
    precision_weighted: float
    recall_weighted: float
    f1_weighted: float
    log_loss: float
    brier_score: float
    ece: float
    images: int

    def to_json(self) -> dict[str, float | int]:
        """Rounded, by the names that files and MLflow have for them."""
        values = {
            "accuracy": self.accuracy,
            "accuracy_low": self.accuracy_interval.low,
            "accuracy_high": self.accuracy_interval.high,
            f"top_{self.top_k}_accuracy": self.top_k_accuracy,
            "precision_macro": self.precision_macro,
            "recall_macro": self.recall_macro,
            "f1_macro": self.f1_macro,
            "f1_macro_low": self.f1_macro_interval.low,
            "f1_macro_high": self.f1_macro_interval.high,
            "precision_weighted": self.precision_weighted,
            "recall_weighted": self.recall_weighted,
            "f1_weighted": self.f1_weighted,
            "log_loss": self.log_loss,
            "brier_score": self.brier_score,
            "ece": self.ece,
        }
        return {**{name: rounded(value) for name, value in values.items()}, "images": self.images}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Scores":
        """What `to_json` has made, also as MLflow's metrics, which are floats.

        Raises KeyError, TypeError or ValueError where it has not.
        """
        others = dict(values)
        [top_k] = filter(None, map(_TOP_K.fullmatch, values))
        return cls(
            accuracy_interval=Interval(others.pop("accuracy_low"), others.pop("accuracy_high")),
            f1_macro_interval=Interval(others.pop("f1_macro_low"), others.pop("f1_macro_high")),
            top_k=int(top_k[1]),
            top_k_accuracy=others.pop(top_k[0]),
            images=int(others.pop("images")),
            **others,
        )


@dataclass(frozen=True, kw_only=True)
class DetailedScores(Scores):
    """The scores of one model on one subset, also by class and by confidence.

    Attributes:
      confusion: number of images; rows are actual, columns predicted classes.
    """

    classes: ClassScores
    confusion: Int64[np.ndarray, "k k"]
    calibration: Calibration


def save_scores(path: Path, models: Mapping[str, Mapping[str, Scores]]) -> None:
    """Write metrics/evaluate.json or references.json: scores by model and subset."""
    write_json(
        path,
        {
            model: {subset: scores.to_json() for subset, scores in subsets.items()}
            for model, subsets in models.items()
        },
    )


def load_scores(path: Path) -> dict[str, dict[str, Scores]]:
    """What `save_scores` has written. Raises PipelineError where a file holds anything else."""
    return parse_scores(read_json(path), str(path))


def parse_scores(models: Any, source: str) -> dict[str, dict[str, Scores]]:
    """Scores by model and subset, as `Scores.to_json` has made them.

    Raises PipelineError where `source`, as people know it, holds anything else.
    """
    try:
        return {
            model: {subset: Scores.from_json(values) for subset, values in subsets.items()}
            for model, subsets in models.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PipelineError(
            f"{source} does not hold scores of this version of the pipeline.",
            found=repr(error),
            remedy="'dvc repro' in that revision evaluates its models again",
        ) from error


def rounded(value: float) -> float:
    """A score as it is written to a file."""
    return round(float(value), _DECIMALS)


def score(predictions: Predictions, params: EvaluateParams, seed: int) -> DetailedScores:
    """All scores; `seed` is that of the bootstrap's generator."""
    bootstrap = Bootstrap(params.bootstrap_samples, params.confidence, seed)
    confusion = confusion_matrix(predictions)
    classes = class_scores(np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0))
    weights = classes.support / classes.support.sum()
    calibration = calibrate(predictions, params.calibration_bins)
    return DetailedScores(
        accuracy=float(predictions.right.mean()),
        accuracy_interval=accuracy_interval(predictions, bootstrap),
        top_k=params.top_k,
        top_k_accuracy=top_k_accuracy(predictions, params.top_k),
        precision_macro=float(_macro(classes.precision, classes.occurs)),
        recall_macro=float(_macro(classes.recall, classes.occurs)),
        f1_macro=float(_macro(classes.f1, classes.occurs)),
        f1_macro_interval=f1_macro_interval(confusion, bootstrap),
        precision_weighted=float(weights @ classes.precision),
        recall_weighted=float(weights @ classes.recall),
        f1_weighted=float(weights @ classes.f1),
        log_loss=log_loss(predictions),
        brier_score=brier_score(predictions),
        ece=calibration.expected_error,
        images=len(predictions),
        classes=classes,
        confusion=confusion,
        calibration=calibration,
    )


def confusion_matrix(predictions: Predictions) -> Int64[np.ndarray, "k k"]:
    """The number of images per actual (row) and predicted (column) class."""
    size = predictions.num_classes
    cells = predictions.labels * size + predictions.predicted
    return np.bincount(cells, minlength=size * size).reshape(size, size)


def class_scores(
    hits: Int64[np.ndarray, "*samples k"],
    actual: Int64[np.ndarray, "*samples k"],
    predicted: Int64[np.ndarray, "*samples k"],
) -> ClassScores:
    """Scores of each class from counts: right ones, images and predictions of it."""
    return ClassScores(
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, actual),
        f1=_ratio(2 * hits, actual + predicted),
        support=actual,
        occurs=actual + predicted > 0,
    )


def top_k_accuracy(predictions: Predictions, k: int) -> float:
    """Share of images whose class is among the k most probable; of equal ones the first counts as higher.

    With k of at least the number of classes it is 1.
    """
    probabilities = predictions.probabilities
    own = np.take_along_axis(probabilities, predictions.labels[:, np.newaxis], axis=1)
    comes_first = np.arange(predictions.num_classes) < predictions.labels[:, np.newaxis]
    ahead = (probabilities > own) | ((probabilities == own) & comes_first)
    return float((ahead.sum(axis=1) < k).mean())


def log_loss(predictions: Predictions) -> float:
    """Mean of -ln(probability of the actual class).

    As in scikit-learn, no probability counts as less than float32's epsilon, 1.2e-7, so that one
    certain error costs 15.9 instead of infinity.
    """
    own = predictions.probabilities[np.arange(len(predictions)), predictions.labels].astype(np.float64)
    return float(-np.log(np.clip(own, np.finfo(np.float32).eps, 1.0)).mean())


def brier_score(predictions: Predictions) -> float:
    """Mean over images of the sum over classes of (probability - one-hot label) squared: 0 to 2."""
    one_hot = np.eye(predictions.num_classes)[predictions.labels]
    return float(((predictions.probabilities - one_hot) ** 2).sum(axis=1).mean())


def accuracy_interval(predictions: Predictions, bootstrap: Bootstrap) -> Interval:
    hits = int(predictions.right.sum())
    counts = np.array([hits, len(predictions) - hits])
    return percentile_interval(resample(counts, bootstrap)[:, 0] / len(predictions), bootstrap.confidence)


def f1_macro_interval(confusion: Int64[np.ndarray, "k k"], bootstrap: Bootstrap) -> Interval:
    """The interval of macro F1, from resamples of the confusion matrix."""
    actual, predicted = np.nonzero(confusion)
    resamples = resample(confusion[actual, predicted], bootstrap)
    size = len(confusion)
    diagonal = actual == predicted
    classes = class_scores(
        hits=_sum_by_class(resamples[:, diagonal], actual[diagonal], size),
        actual=_sum_by_class(resamples, actual, size),
        predicted=_sum_by_class(resamples, predicted, size),
    )
    return percentile_interval(_macro(classes.f1, classes.occurs), bootstrap.confidence)


def _sum_by_class(
    counts: Int64[np.ndarray, "samples cells"], classes: Int64[np.ndarray, " cells"], size: int
) -> Int64[np.ndarray, "samples {size}"]:
    """Sum the columns of `counts` that belong to the same class."""
    sums = np.zeros((len(counts), size), dtype=np.int64)
    order = np.argsort(classes, kind="stable")
    present, starts = np.unique(classes[order], return_index=True)
    if len(present):
        sums[:, present] = np.add.reduceat(counts[:, order], starts, axis=1)
    return sums


def _ratio(
    numerator: Int64[np.ndarray, "*samples k"], denominator: Int64[np.ndarray, "*samples k"]
) -> Float64[np.ndarray, "*samples k"]:
    return np.where(denominator > 0, numerator / np.maximum(denominator, 1), 0.0)


def _macro(
    values: Float64[np.ndarray, "*samples k"], occurs: Bool[np.ndarray, "*samples k"]
) -> Float64[np.ndarray, "*samples"]:
    """Mean over the last axis, where the class occurs."""
    return np.asarray(np.mean(values, axis=-1, where=occurs))
