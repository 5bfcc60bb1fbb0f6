"""Class by class: which ones are recognized, and by which network."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from pipeline.foundation.array_types import Float64
from pipeline.reporting.document import Bars, Block, Chart, Heading, Paragraph, Row, Series, Slide, Table
from pipeline.reporting.house_style import (
    MOST_NAMED_CLASSES,
    MUTED,
    NARROW,
    candidate_color,
    candidate_marker,
    class_labels,
    in_house_style,
    new_figure,
    percent_axis,
)
from pipeline.reporting.results import Candidate, RunResults
from pipeline.reporting.wording import (
    area_text,
    candidate_title,
    counted,
    percent,
    quoted,
    several,
    whole,
)
from pipeline.scoring.curves import ClassCurves

_MOST_ON_SLIDE = 12


def class_by_class(results: RunResults) -> Slide:
    winner = results.winner
    blocks: tuple[Block, ...] = (
        Heading("Class by class"),
        Row((_class_chart(results), Paragraph(hardest_and_easiest(winner)))),
    )
    notes = "Recall is the share of a class's test images that were recognized as this class."
    return Slide("classes", f"Which classes {winner.title} recognizes", blocks, notes)


def hardest_and_easiest(candidate: Candidate) -> str:
    """The hardest and the easiest class of the test subset."""
    seen = [result for result in candidate.classes if result.support > 0]
    faultless = [quoted(result.name) for result in seen if result.recall == 1.0]
    if len(faultless) == len(seen):
        return f"{candidate.title} recognizes every test image of every class."
    hardest = min(seen, key=lambda result: result.recall)
    if all(result.recall == hardest.recall for result in seen):
        share = percent(hardest.recall)
        return f"{candidate.title} recognizes the same share of every class: {share} of its test images."
    text = (
        f"Hardest for {candidate.title} is {quoted(hardest.name)}: "
        f"{_recognized(hardest.recall, hardest.support)}."
    )
    if faultless:
        text += f" Of {several(faultless, 5)} it recognizes every test image."
    else:
        easiest = max(seen, key=lambda result: result.recall)
        text += f" Easiest is {quoted(easiest.name)}: {_recognized(easiest.recall, easiest.support)}."
    fewest = min(result.support for result in seen)
    return f"{text} One image more or less changes a class's share by up to {100 / fewest:.1f} points."


def _recognized(recall: float, support: int) -> str:
    hits = round(recall * support)
    return f"{whole(hits)} of {counted(support, 'test image')} recognized ({percent(recall)})"


def _class_chart(results: RunResults) -> Chart:
    """F1 of the classes, of all networks; slides show the recall of the chosen one."""
    classes = results.winner.classes
    chosen = np.argsort([result.f1 for result in classes], kind="stable")[:MOST_NAMED_CLASSES]
    title = f"The {len(chosen)} hardest of the {len(classes)} classes"
    told = f"F1 of the {len(chosen)} classes that {results.winner.title} does worst on"
    if len(chosen) == len(classes):
        chosen = np.arange(len(classes))
        title = f"F1 of the {counted(len(chosen), 'class', 'classes')}"
        told = f"F1 of every class, of {results.winner.title}"
    f1 = {each.name: np.array([each.classes[label].f1 for label in chosen]) for each in results.candidates}
    values = ", ".join(f"{classes[label].name} {percent(classes[label].f1)}" for label in chosen)
    return Chart(
        name="per_class",
        figure=per_class_figure(f1, [classes[label].name for label in chosen], title),
        alt=f"{told}: {values}.",
        caption="F1 is high only where few images of the class are missed and few others are taken for it.",
        data=_recall_bars(results.winner),
    )


def _recall_bars(candidate: Candidate) -> Bars:
    seen = sorted((each for each in candidate.classes if each.support > 0), key=lambda each: each.recall)
    hardest = seen[:_MOST_ON_SLIDE]
    of = f"the {len(hardest)} hardest classes" if len(hardest) < len(seen) else "every class"
    told = ", ".join(f"{result.name} {percent(result.recall)}" for result in hardest)
    return Bars(
        categories=tuple(result.name for result in hardest),
        series=(Series("recall", tuple(each.recall for each in hardest), candidate_color(candidate.name)),),
        shares=True,
        axis_titles=("", f"recall of {of} (share of a class's test images that are recognized)"),
        alt=f"Bars of the recall of {of}: {told}.",
    )


def class_table(candidate: Candidate, curves: Sequence[ClassCurves]) -> Table:
    areas = {each.label: (area_text(each.average_precision), area_text(each.roc_area)) for each in curves}
    return Table(
        caption=f"{candidate.title} on the test images",
        columns=("Class", "Precision", "Recall", "F1", "Average precision", "ROC area", "Images"),
        rows=tuple(
            (
                result.name,
                percent(result.precision),
                percent(result.recall),
                percent(result.f1),
                *areas.get(label, ("–", "–")),
                whole(result.support),
            )
            for label, result in enumerate(candidate.classes)
        ),
    )


@in_house_style
def per_class_figure(
    scores: Mapping[str, Float64[np.ndarray, " k"]], class_names: Sequence[str], title: str
) -> Figure:
    """F1 of every class, one marker per model; `scores` are by candidate."""
    count = len(class_names)
    figure = new_figure(NARROW, 1.6 + 0.24 * count)
    axes = figure.add_subplot()
    stacked = np.stack(list(scores.values()))
    axes.hlines(range(count), stacked.min(axis=0), stacked.max(axis=0), color=MUTED, linewidth=1.0, alpha=0.6)
    for candidate, values in scores.items():
        axes.plot(
            values,
            range(count),
            candidate_marker(candidate),
            color=candidate_color(candidate),
            markersize=6.0,
            alpha=0.85,
            label=candidate_title(candidate),
        )
    axes.set_yticks(range(count), class_labels(class_names))
    axes.set_ylim(count - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=6)
    percent_axis(axes, "x")
    axes.grid(axis="x")
    axes.set_xlabel("F1 on the test images")
    axes.set_title(title, pad=26)
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=len(scores), borderaxespad=0.2, handletextpad=0.2
    )
    return figure
