"""The page about two models: which is better and how sure that is, what differs, and where."""

from collections.abc import Mapping

import numpy as np

from pipeline.reporting.document import (
    Block,
    Chart,
    Document,
    Example,
    Finding,
    Gallery,
    Paragraph,
    Section,
    Table,
)
from pipeline.reporting.wording import (
    accuracy_decimals,
    counted,
    percent,
    points,
    probability,
    quantity,
    signed,
    whole,
)
from pipeline.scoring.paired import Comparison, compare
from pipeline.scoring.predictions import Predictions
from pipeline.scoring.scores import confusion_matrix
from pipeline.side_by_side.figures import FIRST, SECOND, confusion_difference_figure, curves_figure
from pipeline.side_by_side.side import Side, Versus

_TRAINING_SECTIONS, _COMMON_SECTION = ("train_baseline", "train_transfer"), "training"
_SHOWN_PROBABILITIES = 3
_MOST_PICTURES = 60
_SHARES = (
    ("accuracy", "accuracy"),
    ("f1_macro", "macro F1"),
    ("precision_macro", "macro precision"),
    ("recall_macro", "macro recall"),
)
_LOSSES = (("log_loss", "log loss"), ("brier_score", "Brier score"), ("ece", "calibration error (ECE)"))


def build_versus(versus: Versus) -> Document:
    """The page; where the two were tested on different images, without what needs the same ones."""
    first, second = versus.first, versus.second
    paired = compare(second.test, first.test, versus.bootstrap) if versus.comparable else None
    sections = [
        Section("result", "Which is better", (_finding(versus, paired), _sides(versus))),
        Section("scores", "Scores", (_scores(first, second, "test"), _scores(first, second, "validation"))),
        Section("params", "Params that differ", _params(first.params, second.params)),
    ]
    histories = {
        name: side.history for name, side in ((FIRST, first), (SECOND, second)) if side.history is not None
    }
    if histories:
        chart = Chart(
            name="curves",
            figure=curves_figure(histories),
            alt="Accuracy and loss over the epochs of training",
            caption="The learning curves over each other; lines are validation, dashes training images.",
        )
        sections.append(Section("curves", "Training", (chart, *_without_history(versus))))
    if paired is not None:
        sections.append(Section("confusion", "Classes", _classes(first, second)))
        sections.append(Section("pictures", "Pictures", _pictures(versus, paired)))
    return Document(
        title=f"{first.asked} and {second.asked}",
        subtitle="Two models side by side",
        sections=tuple(sections),
        extra_charts=(),
    )


def _finding(versus: Versus, paired: Comparison | None) -> Finding:
    first, second = versus.first, versus.second
    if paired is None:
        return Finding(
            f"{FIRST} and {SECOND} were not tested on the same images and classes, so the difference of "
            "their scores is no verdict: it mixes the models with the pictures. "
            f"{FIRST} was tested on {counted(len(first.test), 'image')}, "
            f"{SECOND} on {counted(len(second.test), 'image')}."
        )
    decimals = accuracy_decimals(len(first.test))
    better, worse = (SECOND, FIRST) if paired.accuracy_difference > 0 else (FIRST, SECOND)
    gap = points(abs(paired.accuracy_difference), decimals).removeprefix("+")
    interval = (
        f"{percent(versus.bootstrap.confidence, 0)} interval of {SECOND} minus {FIRST}: "
        f"{points(paired.interval.low, decimals)} to {points(paired.interval.high, decimals)}"
    )
    disagreement = (
        f"Of {counted(len(first.test), 'test image')} {SECOND} alone gets "
        f"{whole(paired.only_first_right)} right, {FIRST} alone {whole(paired.only_second_right)}."
    )
    if paired.only_first_right == paired.only_second_right:
        verdict = f"{FIRST} and {SECOND} are equally good on these images."
    elif paired.p_value < 1 - versus.bootstrap.confidence:
        verdict = f"{better} is better than {worse}: {gap} more accuracy."
    else:
        verdict = f"{better} has {gap} more accuracy than {worse}, which may be luck."
    return Finding(
        f"{verdict} {disagreement} ({interval}; exact McNemar test: {probability(paired.p_value)}.)"
    )


def _sides(versus: Versus) -> Table:
    rows = [
        (
            name,
            side.asked,
            side.origin,
            side.card.candidate,
            side.card.network,
            quantity(side.card.parameters["total"]),
            whole(side.card.training["train_images"]),
        )
        for name, side in ((FIRST, versus.first), (SECOND, versus.second))
    ]
    return Table(
        caption="What is compared.",
        columns=("", "asked for", "found in", "candidate", "network", "weights", "training images"),
        rows=tuple(rows),
        numeric=(False, False, False, False, False, True, True),
    )


def _scores(first: Side, second: Side, subset: str) -> Table:
    """A row per score that both have."""
    ours, theirs = first.scores[subset], second.scores[subset]
    decimals = accuracy_decimals(int(min(ours["images"], theirs["images"])))
    rows = [
        (
            title,
            _share(ours, key, decimals),
            _share(theirs, key, decimals),
            points(theirs[key] - ours[key], decimals),
        )
        for key, title in _SHARES
        if key in ours and key in theirs
    ]
    rows += [
        (title, f"{ours[key]:.3f}", f"{theirs[key]:.3f}", signed(theirs[key] - ours[key], 3))
        for key, title in _LOSSES
        if key in ours and key in theirs
    ]
    return Table(
        caption=f"On the {subset} images, with intervals where they were computed. Of the last three a "
        "lower value is better.",
        columns=("score", FIRST, SECOND, f"{SECOND} minus {FIRST}"),
        rows=tuple(rows),
        numeric=(False, True, True, True),
    )


def _share(scores: Mapping[str, float], key: str, decimals: int) -> str:
    text = percent(scores[key], decimals)
    low, high = scores.get(f"{key}_low"), scores.get(f"{key}_high")
    if low is None or high is None:
        return text
    return f"{text} ({percent(low, decimals)} to {percent(high, decimals)})"


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
        numeric=(False, False, False),
    )
    return (table,)


def _training_sections(params: Mapping[str, str]) -> set[str]:
    return {key.partition(".")[0] for key in params} & set(_TRAINING_SECTIONS)


def _with_common_section(params: Mapping[str, str]) -> dict[str, str]:
    """The same with one name for the section of whichever stage has trained the model.

    What two stages call alike (their optimizer, their epochs) then stands in one row.
    """
    renamed = {}
    for key, value in params.items():
        section, dot, name = key.partition(".")
        renamed[f"{_COMMON_SECTION}.{name}" if dot and section in _TRAINING_SECTIONS else key] = value
    return renamed


def _without_history(versus: Versus) -> tuple[Block, ...]:
    sides = ((FIRST, versus.first), (SECOND, versus.second))
    missing = [name for name, side in sides if side.history is None]
    return tuple(Paragraph(f"The learning curve of {name} is not to be had.") for name in missing)


def _classes(first: Side, second: Side) -> tuple[Block, ...]:
    ours, theirs = confusion_matrix(first.test), confusion_matrix(second.test)
    chart = Chart(
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
            own, other = ours[label, label] / images[label], theirs[label, label] / images[label]
            rows.append((name, whole(images[label]), percent(own), percent(other), points(other - own)))
    table = Table(
        caption="Share of each class's test images that is recognized (recall).",
        columns=("class", "images", FIRST, SECOND, f"{SECOND} minus {FIRST}"),
        rows=tuple(rows),
        numeric=(False, True, True, True, True),
    )
    return (chart, table)


def _pictures(versus: Versus, paired: Comparison) -> tuple[Block, ...]:
    blocks: list[Block] = []
    if versus.images is None:
        blocks.append(Paragraph("The test images themselves are not on this machine and cannot be shown."))
        return tuple(blocks)
    sides = {FIRST: versus.first, SECOND: versus.second}
    for wrong, right, count in (
        (FIRST, SECOND, paired.only_first_right),
        (SECOND, FIRST, paired.only_second_right),
    ):
        rows = _fixed(sides[wrong].test, sides[right].test)[:_MOST_PICTURES]
        if not count:
            blocks.append(Paragraph(f"There is no image that {right} alone gets right."))
            continue
        shown = f", the {_MOST_PICTURES} that {wrong} was surest of" if count > _MOST_PICTURES else ""
        blocks.append(
            Gallery(
                name=f"right_in_{right}",
                caption=f"{counted(count, 'image')} that {wrong} gets wrong and {right} right{shown}. "
                f"The bars are {wrong}'s.",
                examples=tuple(_example(versus, sides[wrong], right, sides[right], row) for row in rows),
                filterable=True,
            )
        )
    return tuple(blocks)


def _fixed(wrong: Predictions, right: Predictions) -> np.ndarray:
    """Rows that the one gets wrong and the other right, those first that the one was surest of."""
    rows = np.flatnonzero(~wrong.right & right.right)
    return rows[np.argsort(-wrong.probabilities.max(axis=1)[rows], kind="stable")]


def _example(versus: Versus, wrong: Side, right_name: str, right: Side, row: int) -> Example:
    assert versus.images is not None
    probabilities, label = wrong.test.probabilities[row], int(wrong.test.labels[row])
    order = np.argsort(-probabilities, kind="stable")[:_SHOWN_PROBABILITIES]
    sure = percent(float(right.test.probabilities[row, label]), 0)
    return Example(
        name=f"image {wrong.test.ids[row]}; {right_name}: {sure}",
        image=np.asarray(versus.images[row]),
        actual=wrong.classes[label],
        predicted=wrong.classes[order[0]],
        probabilities=tuple((wrong.classes[index], float(probabilities[index])) for index in order),
        actual_probability=float(probabilities[label]),
    )
