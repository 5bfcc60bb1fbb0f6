"""Precision-recall and ROC curves, one per class."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.reporting.figures.style import (
    MUTED,
    NARROW,
    class_color,
    class_labels,
    in_house_style,
    new_figure,
    percent_axis,
)
from pipeline.reporting.wording import area_text
from pipeline.scoring.curves import ClassCurves

NAMED_CLASSES = 4
"""The classes that are hardest to separate have colors and names, the others are gray."""

_DASHES = ("-", "--", "-.", ":")
_LIMITS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_NEARLY_ALL = 0.98
"""A ROC curve is drawn up to where it has found this share of its class."""


@in_house_style
def precision_recall_figure(curves: Sequence[ClassCurves], class_names: Sequence[str], title: str) -> Figure:
    """Precision against recall of every class."""
    figure, axes = _empty(title)
    drawn = [(each, each.recall, each.precision, each.average_precision) for each in curves]
    _draw(axes, drawn, class_names)
    axes.set(
        xlabel="recall: share of the class that is found", ylabel="precision: share of finds that are right"
    )
    axes.set_xlim(-0.01, 1.01)
    _finish(axes, len(curves), "lower left")
    return figure


@in_house_style
def roc_figure(curves: Sequence[ClassCurves], class_names: Sequence[str], title: str) -> Figure:
    """Hits against false alarms of every class; the axis of false alarms ends where nearly all are found."""
    figure, axes = _empty(title)
    _draw(axes, [(each, each.false_alarms, each.hits, each.roc_area) for each in curves], class_names)
    limit = false_alarm_limit(curves)
    if limit == 1.0:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.0, linestyle=(0, (1, 2)), gid="chance")
    axes.set(
        xlabel="false alarms: share of the other images", ylabel="hits: share of the class that is found"
    )
    axes.set_xlim(-0.01 * limit, limit)
    _finish(axes, len(curves), "lower right")
    return figure


def false_alarm_limit(curves: Sequence[ClassCurves]) -> float:
    """The largest false-alarm rate worth drawing: where every class is found nearly whole."""
    needed = max(float(curve.false_alarms[np.argmax(curve.hits >= _NEARLY_ALL)]) for curve in curves)
    return next(limit for limit in _LIMITS if limit >= needed)


def _draw(
    axes: Axes,
    curves: Sequence[tuple[ClassCurves, np.ndarray, np.ndarray, float]],
    class_names: Sequence[str],
) -> None:
    """Draw (class, x, y, area) of every class; those of the smallest areas in colors, with their names."""
    ranked = sorted(curves, key=lambda each: each[3])
    names = class_labels(class_names, longest=16)
    for _, x, y, _ in ranked[NAMED_CLASSES:]:
        axes.plot(x, y, color=MUTED, alpha=0.4, linewidth=0.9, gid="others")
    for place, (curve, x, y, area) in enumerate(ranked[:NAMED_CLASSES]):
        label = f"{names[curve.label]} ({area_text(area)})"
        axes.plot(x, y, color=class_color(place), linestyle=_DASHES[place], label=label)


def _empty(title: str) -> tuple[Figure, Axes]:
    figure = new_figure(NARROW, 4.3)
    axes = figure.add_subplot()
    axes.set_title(title, wrap=True)
    axes.grid()
    percent_axis(axes, "x")
    percent_axis(axes, "y")
    return figure, axes


def _finish(axes: Axes, classes: int, legend: Literal["lower left", "lower right"]) -> None:
    axes.set_ylim(0, 1.02)
    axes.locator_params(axis="x", nbins=5)
    if classes > NAMED_CLASSES:
        axes.plot([], [], color=MUTED, alpha=0.4, linewidth=0.9, label=f"the other {classes - NAMED_CLASSES}")
    axes.legend(title="class (area)", loc=legend)
