"""How well a model separates each class from the others, over every threshold of its probability."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from pipeline.foundation.array_types import Float64
from pipeline.scoring.predictions import Predictions


@dataclass(frozen=True)
class ClassCurves:
    """One class against all others: an image counts as found where the class's probability is high enough.

    Attributes:
      label: of the class.
      precision, recall: over the thresholds, the highest recall first.
      average_precision: area under precision over recall, as a sum of steps: 1 is perfect.
      false_alarms, hits: false and true positive rate, the highest threshold first.
      roc_area: area under hits over false alarms: 1 is perfect, 0.5 is chance.
    """

    label: int
    precision: Float64[np.ndarray, " thresholds"]
    recall: Float64[np.ndarray, " thresholds"]
    average_precision: float
    false_alarms: Float64[np.ndarray, " steps"]
    hits: Float64[np.ndarray, " steps"]
    roc_area: float


def class_curves(predictions: Predictions) -> tuple[ClassCurves, ...]:
    """The curves of every class that some of the images belong to and others do not, by label.

    They are scikit-learn's; thresholds at which nothing changes direction are left out.
    """
    counts = np.bincount(predictions.labels, minlength=predictions.num_classes)
    separable = np.flatnonzero((counts > 0) & (counts < len(predictions)))
    return tuple(_curves(predictions, int(label)) for label in separable)


def _curves(predictions: Predictions, label: int) -> ClassCurves:
    belongs, probability = predictions.labels == label, predictions.probabilities[:, label]
    precision, recall, _ = precision_recall_curve(belongs, probability, drop_intermediate=True)
    false_alarms, hits, _ = roc_curve(belongs, probability)
    return ClassCurves(
        label=label,
        precision=precision,
        recall=recall,
        average_precision=float(average_precision_score(belongs, probability)),
        false_alarms=false_alarms,
        hits=hits,
        roc_area=float(roc_auc_score(belongs, probability)),
    )


@dataclass(frozen=True)
class SureAnswers:
    """What remains where a model answers only if it is sure enough.

    Attributes:
      threshold: the least confidence with which it answers.
      share: of the images that it answers for.
      accuracy: among its answers; None where it gives none.
    """

    threshold: float
    share: float
    accuracy: float | None


def sure_answers(predictions: Predictions, threshold: float) -> SureAnswers:
    """Classification with a reject option (Chow, 1970): answers below the threshold are withheld."""
    answers = predictions.probabilities.max(axis=1) >= threshold
    return SureAnswers(
        threshold=threshold,
        share=float(answers.mean()),
        accuracy=float(predictions.right[answers].mean()) if answers.any() else None,
    )
