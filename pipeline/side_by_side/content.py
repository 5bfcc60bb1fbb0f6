"""The page about two models: which is better and how sure that is, what differs, and where."""

from collections.abc import Iterator, Mapping

import numpy as np

from pipeline.foundation.array_types import Int64, UInt8
from pipeline.reporting.document import (
    Block,
    Chart,
    Document,
    Example,
    Finding,
    Gallery,
    Paragraph,
    ReportSection,
    Table,
)
from pipeline.reporting.examples import answered
from pipeline.reporting.selection import surest_first
from pipeline.reporting.topics.comparison.pairs import which_is_better
from pipeline.reporting.wording import (
    accuracy_decimals,
    counted,
    percent,
    points,
    quantity,
    signed,
    whole,
)
from pipeline.scoring.paired import Comparison, compare
from pipeline.scoring.predictions import Predictions
from pipeline.scoring.scores import Scores, confusion_matrix
from pipeline.side_by_side.figures import confusion_difference_figure, curves_figure
from pipeline.side_by_side.models import FIRST, SECOND, ComparedModel, ModelPair

_TRAINING_SECTIONS, _COMMON_SECTION = ("train_baseline", "train_transfer"), "training"
_MOST_PICTURES = 60
_SHARES = {
    "accuracy": "accuracy",
    "f1_macro": "macro F1",
    "precision_macro": "macro precision",
    "recall_macro": "macro recall",
}
_LOSSES = {"log_loss": "log loss", "brier_score": "Brier score", "ece": "calibration error (ECE)"}


def pair_document(pair: ModelPair) -> Document:
    """The page; where the two were tested on different images, without what needs the same ones."""
    paired = compare(pair.second.test, pair.first.test, pair.bootstrap) if pair.comparable else None
    scores = tuple(_scores(pair, subset) for subset in ("test", "validation"))
    sections = [
        ReportSection("result", "Which is better", (_finding(pair, paired), _models(pair))),
        ReportSection("scores", "Scores", scores),
        ReportSection("params", "Params that differ", _params(pair.first.params, pair.second.params)),
    ]
    if curves := tuple(_curves(pair)):
        sections.append(ReportSection("curves", "Training", curves))
    if paired is not None:
        sections.append(ReportSection("confusion", "Classes", tuple(_classes(pair.first, pair.second))))
        sections.append(ReportSection("pictures", "Pictures", tuple(_pictures(pair, paired))))
    title = f"{pair.first.asked} and {pair.second.asked}"
    return Document(title=title, subtitle="Two models side by side", sections=tuple(sections))


def _finding(pair: ModelPair, paired: Comparison | None) -> Finding:
    first, second = pair.first, pair.second
    if paired is None:
        return Finding(
            f"{FIRST} and {SECOND} were not tested on the same images and classes, so the difference of "
            "their scores decides nothing: it mixes the models with the pictures. "
            f"{FIRST} was tested on {counted(len(first.test), 'image')}, "
            f"{SECOND} on {counted(len(second.test), 'image')}."
        )
    decimals = accuracy_decimals(len(first.test))
    better, worse, found = SECOND, FIRST, paired
    if paired.accuracy_difference < 0:
        better, worse, found = FIRST, SECOND, paired.reversed()
    verdict = which_is_better(found, better, worse, pair.bootstrap.confidence, decimals)
    disagreement = (
        f"Of {counted(len(first.test), 'test image')} {SECOND} alone gets "
        f"{whole(paired.only_first_right)} right, {FIRST} alone {whole(paired.only_second_right)}."
    )
    return Finding(f"{verdict} {disagreement}")


def _models(pair: ModelPair) -> Table:
    rows = (
        (
            name,
            model.asked,
            model.origin,
            model.card.candidate,
            model.card.network,
            quantity(model.card.parameters.total),
            whole(model.card.training.train_images),
        )
        for name, model in pair.named.items()
    )
    return Table(
        caption="What is compared.",
        columns=("", "asked for", "found in", "candidate", "network", "weights", "training images"),
        rows=tuple(rows),
        text_columns=frozenset({0, 1, 2, 3, 4}),
    )


def _scores(pair: ModelPair, subset: str) -> Table:
    ours, theirs = pair.first.scores[subset], pair.second.scores[subset]
    decimals = accuracy_decimals(min(ours.images, theirs.images))
    rows = []
    for name, title in _SHARES.items():
        gap = points(getattr(theirs, name) - getattr(ours, name), decimals)
        rows.append((title, _share(ours, name, decimals), _share(theirs, name, decimals), gap))
    for name, title in _LOSSES.items():
        own, other = getattr(ours, name), getattr(theirs, name)
        rows.append((title, f"{own:.3f}", f"{other:.3f}", signed(other - own, 3)))
    return Table(
        caption=f"On the {subset} images, some with an interval. Of the last three a lower value is better.",
        columns=("score", FIRST, SECOND, f"{SECOND} minus {FIRST}"),
        rows=tuple(rows),
    )


def _share(scores: Scores, name: str, decimals: int) -> str:
    text, interval = percent(getattr(scores, name), decimals), getattr(scores, f"{name}_interval", None)
    if interval is None:
        return text
    return f"{text} ({percent(interval.low, decimals)} to {percent(interval.high, decimals)})"


def _params(ours: Mapping[str, str], theirs: Mapping[str, str]) -> tuple[Block, ...]:
    if _training_sections(ours) != _training_sections(theirs):
        ours, theirs = _with_common_section(ours), _with_common_section(theirs)
    keys = sorted({*ours, *theirs})
    differing = [key for key in keys if ours.get(key) != theirs.get(key)]
    alike = len(keys) - len(differing)
    if not differing:
        return (Paragraph(f"None: all {counted(alike, 'param')} are the same."),)
    table = Table(
        caption=f"Params that are the same in both: {whole(alike)}. A dash: this model has no such param.",
        columns=("param", FIRST, SECOND),
        rows=tuple((key, ours.get(key, "–"), theirs.get(key, "–")) for key in differing),
        text_columns=frozenset({0, 1, 2}),
    )
    return (table,)


def _training_sections(params: Mapping[str, str]) -> set[str]:
    return {key.partition(".")[0] for key in params} & set(_TRAINING_SECTIONS)


def _with_common_section(params: Mapping[str, str]) -> dict[str, str]:
    """The same with one name for the section of the stage that trained the model.

    What two stages call alike (their optimizer, their epochs) then stands in one row.
    """
    renamed = {}
    for key, value in params.items():
        section, dot, name = key.partition(".")
        renamed[f"{_COMMON_SECTION}.{name}" if dot and section in _TRAINING_SECTIONS else key] = value
    return renamed


def _curves(pair: ModelPair) -> Iterator[Block]:
    """Nothing where neither history is kept."""
    histories = {name: model.history for name, model in pair.named.items() if model.history is not None}
    if not histories:
        return
    yield Chart(
        name="curves",
        figure=curves_figure(histories),
        alt="Accuracy and loss over the epochs of training",
        caption="Both learning curves; solid lines are validation images, dashed lines training images.",
    )
    for name in pair.named.keys() - histories.keys():
        yield Paragraph(f"The learning curve of {name} is not available.")


def _classes(first: ComparedModel, second: ComparedModel) -> Iterator[Block]:
    ours, theirs = confusion_matrix(first.test), confusion_matrix(second.test)
    yield Chart(
        name="confusion_difference",
        figure=confusion_difference_figure(theirs - ours, first.classes),
        alt="How many images more the second model puts into each cell of the confusion matrix",
        caption=f"The confusion matrix of {SECOND} minus that of {FIRST}. On the diagonal red is good for "
        f"{SECOND}; beside it red is a confusion that {SECOND} makes more often.",
    )
    images = ours.sum(axis=1)
    rows = []
    for label, name in enumerate(first.classes):
        if images[label]:
            own, other = (float(matrix[label, label] / images[label]) for matrix in (ours, theirs))
            count = whole(int(images[label]))
            rows.append((name, count, percent(own), percent(other), points(other - own)))
    yield Table(
        caption="Share of each class's test images that is recognized (recall).",
        columns=("class", "images", FIRST, SECOND, f"{SECOND} minus {FIRST}"),
        rows=tuple(rows),
    )


def _pictures(pair: ModelPair, paired: Comparison) -> Iterator[Block]:
    if pair.images is None:
        yield Paragraph("The test images themselves are not on this machine and cannot be shown.")
        return
    for wrong, right, count in (
        (FIRST, SECOND, paired.only_first_right),
        (SECOND, FIRST, paired.only_second_right),
    ):
        if not count:
            yield Paragraph(f"There is no image that {right} alone gets right.")
            continue
        rows = _fixed(pair.named[wrong].test, pair.named[right].test)[:_MOST_PICTURES]
        shown = f", the {_MOST_PICTURES} that {wrong} was surest of" if count > _MOST_PICTURES else ""
        yield Gallery(
            name=f"right_in_{right}",
            caption=f"{counted(count, 'image')} that {wrong} gets wrong and {right} right{shown}. "
            f"The bars are {wrong}'s.",
            examples=tuple(_example(pair, pair.images, wrong, right, row) for row in rows.tolist()),
            filterable=True,
        )


def _fixed(wrong: Predictions, right: Predictions) -> Int64[np.ndarray, " rows"]:
    """Rows that the one gets wrong and the other right, those first that the one was surest of."""
    return surest_first(wrong, np.flatnonzero(~wrong.right & right.right))


def _example(
    pair: ModelPair, images: UInt8[np.ndarray, "n h w c"], wrong_name: str, right_name: str, row: int
) -> Example:
    wrong, right = pair.named[wrong_name].test, pair.named[right_name].test
    label = int(wrong.labels[row])
    name = f"image {wrong.ids[row]}; {right_name}: {percent(float(right.probabilities[row, label]), 0)}"
    return answered(name, np.asarray(images[row]), label, wrong.probabilities[row], pair.first.classes)
