"""The card of a model version: what a person should know before using the model, as Markdown.

After Mitchell et al., "Model Cards for Model Reporting", 2019. Every figure is computed from what the
pipeline has written, and every sentence holds for any data set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.commands.addresses.evaluated import EvaluatedModel
from pipeline.foundation.array_types import Float64, Int64
from pipeline.foundation.texts import one_line
from pipeline.inference.model_card import ModelCard
from pipeline.params.base import flattened
from pipeline.reporting.wording import (
    accuracy_decimals,
    compact,
    counted,
    percent,
    quantity,
    quoted,
    reference_title,
    several,
    whole,
)
from pipeline.scoring.scores import ClassScores, Scores, class_scores, confusion_matrix
from pipeline.tracking import tags

LONGEST = 5000
"""Characters that MLflow's database has room for."""

_LISTED = 5
_LISTED_CLASSES = 12
_LONGEST_NAME = 30
_LONGEST_TEXT = 200
_FEW_IMAGES = 30


@dataclass(frozen=True)
class CardFacts:
    """What a card is made of.

    Attributes:
      name: of the registered model.
      version: of it.
      evaluated: the model.
      confidence: of the intervals among its scores.
      lineage: tags of the run that trained it.
      latency_ms: median for one image.
    """

    name: str
    version: int
    evaluated: EvaluatedModel
    confidence: float
    lineage: Mapping[str, str]
    latency_ms: float

    @property
    def card(self) -> ModelCard:
        return self.evaluated.card

    @property
    def classes(self) -> list[str]:
        """Names, quoted and short enough for a list."""
        return [quoted(one_line(name, _LONGEST_NAME)) for name in self.card.preprocessing.classes]


def version_card(facts: CardFacts) -> str:
    """The whole card; MLflow's database may have room for its beginning alone (`within_limit`)."""
    confusion = confusion_matrix(facts.evaluated.predictions["test"])
    by_class = class_scores(np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0))
    sections = {
        "Intended use": _intended_use(facts),
        "Scores": _scores(facts),
        "Weaknesses by class": _weaknesses(facts.classes, confusion, by_class),
        "Calibration": _calibration(facts),
        "Limits": _limits(facts, by_class),
        "Data": _data(facts),
        "Training": _training(facts),
        "Lineage": _lineage(facts),
    }
    title = f"# {facts.name}, version {facts.version}: {facts.card.network} ({facts.card.candidate})"
    return "\n\n".join([title, *(f"## {name}\n\n{text}" for name, text in sections.items())]) + "\n"


def within_limit(card: str) -> str:
    """The card, or as much of it as MLflow's database has room for."""
    if len(card) <= LONGEST:
        return card
    rest = "\n\n(Shortened; the whole card is among the artifacts of the run that trained the model.)\n"
    return card[: LONGEST - len(rest)] + rest


def _intended_use(facts: CardFacts) -> str:
    spec = facts.card.preprocessing
    return (
        f"Tells which of {counted(len(facts.classes), 'class', 'classes')} an image shows: "
        f"{several(facts.classes, _LISTED_CLASSES)}. It takes encoded images of any size, or pixels as "
        f"uint8 (N, {', '.join(map(str, spec.shape))}), and returns a table of probabilities with a column "
        "per class:"
        "\n\n```python\n"
        "import mlflow\n"
        f'model = mlflow.pyfunc.load_model("models:/{facts.name}/{facts.version}")\n'
        'model.predict([open("image.png", "rb").read()])\n```'
    )


def _data(facts: CardFacts) -> str:
    source = facts.evaluated.source
    lines = [
        f"{one_line(source.origin, _LONGEST_TEXT)} (dataset {source.dataset}, "
        f"{counted(source.images, 'image')}).",
        "| subset | images | rarest class | commonest class |\n| --- | --- | --- | --- |",
    ]
    rows = []
    for subset, labels in facts.evaluated.labels.items():
        counts = np.bincount(labels, minlength=len(facts.classes))
        rarest, commonest = (
            f"{_cell(facts.classes[index])} {percent(counts[index] / len(labels))}"
            for index in (counts.argmin(), counts.argmax())
        )
        rows.append(f"| {subset} | {whole(len(labels))} | {rarest} | {commonest} |")
    return "\n\n".join([lines[0], "\n".join([lines[1], *rows])])


def _training(facts: CardFacts) -> str:
    card = facts.card
    settings = [
        f"{name.split('.')[-1]} {compact(value)}"
        for name, value in flattened(card.hyperparameters)
        # Augmentation that is turned off would fill half of the list.
        if not (name.startswith("augmentation.") and not value)
    ]
    return (
        f"{card.network}, {quantity(card.parameters.total)} parameters, "
        f"{quantity(card.forward_macs)} multiply-accumulates for one image; "
        f"{counted(card.training.epochs, 'epoch')} on {counted(card.training.train_images, 'image')}, "
        f"weights of epoch {card.training.best_epoch}. Settings: {'; '.join(settings)}."
    )


def _scores(facts: CardFacts) -> str:
    rows = {"this model": facts.evaluated.scores} | {
        reference_title(name).lower(): scores for name, scores in facts.evaluated.references.items()
    }
    images = counted(len(facts.evaluated.predictions["test"]), "test image")
    lines = [
        f"Accuracy and macro F1 with {compact(100 * facts.confidence)} % intervals; macro F1, log loss and "
        f"expected calibration error (ECE) on the {images}.",
        "| | validation | test | macro F1 | log loss | ECE |\n| --- | --- | --- | --- | --- | --- |",
    ]
    table = [f"| {name} | {_score_cells(scores)} |" for name, scores in rows.items()]
    size_bytes = facts.evaluated.network.stat().st_size
    size = (
        f"Size {size_bytes / 1e6:.3g} MB. One image takes {facts.latency_ms:.3g} ms (median "
        "through mlflow.pyfunc, on the machine that registered the model)."
    )
    return "\n\n".join([lines[0], "\n".join([lines[1], *table]), size])


def _score_cells(scores: Mapping[str, Scores]) -> str:
    test = scores["test"]
    f1 = f"{test.f1_macro:.3f} [{test.f1_macro_interval.low:.3f}, {test.f1_macro_interval.high:.3f}]"
    accuracies = (_accuracy(scores[subset]) for subset in ("validation", "test"))
    return " | ".join([*accuracies, f1, f"{test.log_loss:.4f}", f"{test.ece:.4f}"])


def _accuracy(scores: Scores) -> str:
    interval = scores.accuracy_interval
    accuracy, low, high = (
        percent(share, accuracy_decimals(scores.images))
        for share in (scores.accuracy, interval.low, interval.high)
    )
    return f"{accuracy} [{low}, {high}]"


def _weaknesses(classes: Sequence[str], confusion: Int64[np.ndarray, "k k"], by_class: ClassScores) -> str:
    """Of the test images: the lowest recalls and precisions, and the pairs that are confused most."""
    hits, predicted = np.diagonal(confusion), confusion.sum(axis=0)
    lines = [
        f"- lowest recall: {_lowest(classes, by_class.recall, hits, by_class.support)}",
        f"- lowest precision: {_lowest(classes, by_class.precision, hits, predicted)}",
    ]
    errors = confusion - np.diag(hits)
    worst = np.argsort(-errors, axis=None, kind="stable")[:_LISTED]
    pairs = [
        f"{classes[actual]} taken for {classes[taken]} "
        f"({errors[actual, taken]} of {by_class.support[actual]})"
        for actual, taken in zip(*np.unravel_index(worst, errors.shape), strict=True)
        if errors[actual, taken]
    ]
    return "\n".join([*lines, f"- confused most: {'; '.join(pairs) or 'no pair of classes'}"])


def _lowest(
    classes: Sequence[str],
    shares: Float64[np.ndarray, " k"],
    hits: Int64[np.ndarray, " k"],
    of: Int64[np.ndarray, " k"],
) -> str:
    """The classes with the lowest shares of `hits` among `of` images; none that has no such images."""
    below = [index for index in np.argsort(shares, kind="stable") if of[index] and shares[index] < 1]
    found = [f"{classes[index]}: {percent(shares[index])} ({hits[index]} of {of[index]})" for index in below]
    return "; ".join(found[:_LISTED]) or "none below 100 %"


def _calibration(facts: CardFacts) -> str:
    test = facts.evaluated.predictions["test"]
    confidence = float(test.probabilities.max(axis=1).mean(dtype=np.float64))
    accuracy = float(test.right.mean())
    return (
        f"Mean confidence {percent(confidence)}, right in {percent(accuracy)} of the test images: "
        f"{'too sure' if confidence > accuracy else 'too cautious'} by "
        f"{100 * abs(confidence - accuracy):.1f} points on the whole; "
        f"ECE {facts.evaluated.scores['test'].ece:.4f}."
    )


def _limits(facts: CardFacts, by_class: ClassScores) -> str:
    interval = facts.evaluated.scores["test"].accuracy_interval
    width = 100 * (interval.high - interval.low) / 2
    limits = [
        "The scores hold for images like those of the data set; they say nothing about images from "
        "another source.",
        "Every image gets one of the classes, also one that shows none of them.",
        "Choosing among models by these test scores makes them too good. The interval of the test accuracy "
        f"reaches about {width:.1f} points to each side.",
    ]
    few = [name for name, images in zip(facts.classes, by_class.support, strict=True) if images < _FEW_IMAGES]
    if few:
        limits.append(
            f"{counted(len(few), 'class has', 'classes have')} fewer than {_FEW_IMAGES} test images, so "
            f"that a share of theirs is a rough figure: {several(few, _LISTED)}."
        )
    # The commit of a DVC experiment holds what differed from the commit before it.
    if facts.lineage.get(tags.GIT_DIRTY) == "true" and tags.DVC_COMMIT not in facts.lineage:
        limits.append("Code or params differed from the commit below when the model was trained.")
    return "\n".join(f"- {limit}" for limit in limits)


def _lineage(facts: CardFacts) -> str:
    values = {
        "code": facts.lineage.get(tags.DVC_COMMIT) or facts.lineage.get(tags.GIT_COMMIT, ""),
        "experiment": facts.lineage.get(tags.DVC_EXPERIMENT, ""),
        "model": facts.card.model_digest,
        "training data": facts.card.data_digest,
        "test data": facts.evaluated.test_digest,
        "source": facts.evaluated.source.fingerprint,
        "environment": facts.lineage.get(tags.ENVIRONMENT_DIGEST, ""),
    }
    known = "\n".join(f"- {name}: `{value}`" for name, value in values.items() if value)
    command = f"`python -m pipeline lineage models:/{facts.name}/{facts.version}`"
    return f"{known}\n\n{command} says how to get back to them."


def _cell(text: str) -> str:
    """Text inside a Markdown table."""
    return text.replace("|", r"\|")
