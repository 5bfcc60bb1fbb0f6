"""Each class against all others, over every threshold: precision-recall and ROC curves."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.foundation.array_types import Float64
from pipeline.reporting.document import Block, Chart, Details, Heading, Paragraph, Row
from pipeline.reporting.house_style import (
    MUTED,
    NARROW,
    class_color,
    class_labels,
    in_house_style,
    new_figure,
    percent_axis,
)
from pipeline.reporting.results import Candidate, RunResults
from pipeline.reporting.wording import area_text, counted, percent, quoted
from pipeline.scoring.curves import ClassCurves

_NAMED_CLASSES = 4
"""The classes that are hardest to separate have colors and names, the others are gray."""

_DASHES = ("-", "--", "-.", ":")
_LIMITS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_NEARLY_ALL = 0.98
"""A ROC curve is drawn up to where it has found this share of its class."""


def curve_blocks(results: RunResults, curves: Mapping[str, Sequence[ClassCurves]]) -> Iterator[Block]:
    """The curves, given by candidate; nothing where all test images are of one class."""
    winner, names = results.winner, results.class_names
    if not curves[winner.name]:
        return
    yield Heading("Each class against all others")
    yield Paragraph(
        "Instead of the most probable class one may ask for a class: give me all images whose probability of "
        "it exceeds a threshold. A low threshold finds more of the class, and more of the others too. "
        f"{separation(winner, curves[winner.name], names)}"
    )
    yield _charts(winner, curves[winner.name], names)
    for other in results.others:
        yield Details(f"Curves of {other.title}", (_charts(other, curves[other.name], names),))


def separation(candidate: Candidate, curves: Sequence[ClassCurves], class_names: Sequence[str]) -> str:
    """How well the classes are told apart at any threshold."""
    mean = float(np.mean([each.average_precision for each in curves]))
    area = float(np.mean([each.roc_area for each in curves]))
    text = (
        f"Over {counted(len(curves), 'class', 'classes')}, {candidate.title} has a mean average precision of "
        f"{area_text(mean)} and a mean area under the ROC curve of {area_text(area)}."
    )
    hardest = min(curves, key=lambda each: each.average_precision)
    if hardest.average_precision == 1.0:
        return f"{text} Every class has a threshold that separates it from all others without a mistake."
    return (
        f"{text} Hardest to separate is {quoted(class_names[hardest.label])} "
        f"(average precision {area_text(hardest.average_precision)})."
    )


def _charts(candidate: Candidate, curves: Sequence[ClassCurves], class_names: Sequence[str]) -> Row:
    told = separation(candidate, curves, class_names)
    limit = false_alarm_limit(curves)
    colored = " In color: the classes that are hardest to separate." if len(curves) > _NAMED_CLASSES else ""
    part = f"Only the first {percent(limit, 0)} of false alarms are drawn. " if limit < 1.0 else ""
    precision_recall = precision_recall_figure(
        curves, class_names, f"{candidate.title}: precision and recall"
    )
    roc = roc_figure(curves, class_names, f"{candidate.title}: ROC curves")
    return Row(
        (
            Chart(
                name=f"precision_recall_{candidate.name}",
                figure=precision_recall,
                alt=f"Precision-recall curves. {told}",
                caption=f"The nearer to the upper right corner, the better.{colored}",
            ),
            Chart(
                name=f"roc_{candidate.name}",
                figure=roc,
                alt=f"ROC curves. {told}",
                caption=f"{part}The nearer to the upper left corner, the better.{colored}",
            ),
        )
    )


@in_house_style
def precision_recall_figure(curves: Sequence[ClassCurves], class_names: Sequence[str], title: str) -> Figure:
    """Precision against recall of every class."""
    figure, axes = _empty(title)
    drawn = [(each, each.recall, each.precision, each.average_precision) for each in curves]
    _draw(axes, drawn, class_names, "lower left")
    axes.set(
        xlabel="recall: share of the class that is found",
        ylabel="precision: share of finds that are right",
        xlim=(-0.01, 1.01),
    )
    return figure


@in_house_style
def roc_figure(curves: Sequence[ClassCurves], class_names: Sequence[str], title: str) -> Figure:
    """Hits against false alarms of every class; the axis of false alarms ends where nearly all are found."""
    figure, axes = _empty(title)
    drawn = [(each, each.false_alarms, each.hits, each.roc_area) for each in curves]
    _draw(axes, drawn, class_names, "lower right")
    limit = false_alarm_limit(curves)
    if limit == 1.0:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.0, linestyle=(0, (1, 2)), gid="chance")
    axes.set(
        xlabel="false alarms: share of the other images",
        ylabel="hits: share of the class that is found",
        xlim=(-0.01 * limit, limit),
    )
    return figure


def false_alarm_limit(curves: Sequence[ClassCurves]) -> float:
    """The largest false-alarm rate worth drawing: where every class is found nearly whole."""
    needed = max(float(curve.false_alarms[np.argmax(curve.hits >= _NEARLY_ALL)]) for curve in curves)
    return next(limit for limit in _LIMITS if limit >= needed)


def _empty(title: str) -> tuple[Figure, Axes]:
    figure = new_figure(NARROW, 4.3)
    axes = figure.add_subplot()
    axes.set_title(title, wrap=True)
    axes.grid()
    percent_axis(axes, "x")
    percent_axis(axes, "y")
    return figure, axes


def _draw(
    axes: Axes,
    curves: Sequence[tuple[ClassCurves, Float64[np.ndarray, " _"], Float64[np.ndarray, " _"], float]],
    class_names: Sequence[str],
    legend: Literal["lower left", "lower right"],
) -> None:
    """Draw (class, x, y, area) of every class; those of the smallest areas in colors, with their names."""
    ranked = sorted(curves, key=lambda each: each[3])
    names = class_labels(class_names, longest=16)
    for _, x, y, _ in ranked[_NAMED_CLASSES:]:
        axes.plot(x, y, color=MUTED, alpha=0.4, linewidth=0.9, gid="others")
    for place, (curve, x, y, area) in enumerate(ranked[:_NAMED_CLASSES]):
        label = f"{names[curve.label]} ({area_text(area)})"
        axes.plot(x, y, color=class_color(place), linestyle=_DASHES[place], label=label)
    if len(curves) > _NAMED_CLASSES:
        others = f"the other {len(curves) - _NAMED_CLASSES}"
        axes.plot([], [], color=MUTED, alpha=0.4, linewidth=0.9, label=others)
    axes.set_ylim(0, 1.02)
    axes.locator_params(axis="x", nbins=5)
    axes.legend(title="class (area)", loc=legend)
