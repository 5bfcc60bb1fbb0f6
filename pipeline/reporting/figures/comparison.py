"""Models beside each other: accuracies with their intervals, and class by class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.reporting.figures.style import (
    INK,
    MUTED,
    NARROW,
    candidate_color,
    candidate_marker,
    class_labels,
    in_house_style,
    new_figure,
    percent_axis,
)
from pipeline.reporting.wording import candidate_title


@dataclass(frozen=True)
class MeasuredAccuracy:
    """One row of the comparison; accuracies are shares of 1; `candidate` is None for a simple reference."""

    title: str
    candidate: str | None
    low: float
    accuracy: float
    high: float
    validation: float | None


@in_house_style
def accuracy_figure(rows: Sequence[MeasuredAccuracy], title: str) -> Figure:
    """Test accuracy with its interval; above all models, below only the trained ones, enlarged."""
    trained = [row for row in rows if row.candidate is not None]
    enlarge = len(trained) < len(rows)
    sizes = [len(rows), len(trained)] if enlarge else [len(rows)]
    figure = new_figure(NARROW, 1.3 * len(sizes) + 0.3 * sum(sizes))
    panels = figure.subplots(len(sizes), 1, squeeze=False, height_ratios=[size + 1.2 for size in sizes])[:, 0]
    _draw_accuracies(panels[0], rows)
    panels[0].set_title(title, wrap=True)
    if enlarge:
        panels[0].set_xlim(0, 1.02)
        _draw_accuracies(panels[1], trained)
        panels[1].set_title("The networks alone, enlarged")
    panels[-1].set_xlabel("accuracy")
    return figure


def _draw_accuracies(axes: Axes, rows: Sequence[MeasuredAccuracy]) -> None:
    for place, row in enumerate(rows):
        color = MUTED if row.candidate is None else candidate_color(row.candidate)
        marker = "D" if row.candidate is None else candidate_marker(row.candidate)
        axes.plot(
            [row.low, row.high], [place, place], color=color, linewidth=3.0, solid_capstyle="butt", alpha=0.45
        )
        axes.plot(
            row.accuracy, place, marker=marker, color=color, markersize=7.0, linestyle="", gid=row.title
        )
        if row.validation is not None:
            axes.plot(
                row.validation,
                place,
                marker="|",
                color=INK,
                markersize=11.0,
                markeredgewidth=1.4,
                linestyle="",
            )
    axes.set_yticks(range(len(rows)), [row.title for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.locator_params(axis="x", nbins=6)
    percent_axis(axes, "x")


@in_house_style
def per_class_figure(scores: Mapping[str, np.ndarray], class_names: Sequence[str], title: str) -> Figure:
    """F1 of every class, one marker per model.

    Args:
      scores: float, (K,), by candidate.
    """
    count = len(class_names)
    figure = new_figure(NARROW, 1.6 + 0.24 * count)
    axes = figure.add_subplot()
    stacked = np.stack(list(scores.values()))
    axes.hlines(range(count), stacked.min(axis=0), stacked.max(axis=0), color=MUTED, linewidth=1.0, alpha=0.6)
    for candidate, values in scores.items():
        axes.plot(
            values,
            range(count),
            linestyle="",
            color=candidate_color(candidate),
            marker=candidate_marker(candidate),
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
