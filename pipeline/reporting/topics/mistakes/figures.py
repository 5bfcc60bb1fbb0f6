"""Confusion matrices, from 2 to several hundred classes, and single images with what a model says of them."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize, PowerNorm
from matplotlib.figure import Figure

from pipeline.foundation.array_types import Bool, Float64, Int64
from pipeline.reporting.document import Example
from pipeline.reporting.house_style import (
    GRID,
    INK,
    MUTED,
    NARROW,
    PAPER,
    RIGHT,
    WRONG,
    as_rgb,
    class_labels,
    in_house_style,
    judged,
    new_figure,
)
from pipeline.reporting.wording import percent

_SHADES = LinearSegmentedColormap.from_list(
    "shades", [(0.0, "#ffffff"), (0.04, "#e3eef7"), (0.3, "#8fc1e0"), (0.7, "#0072b2"), (1.0, "#003a5c")]
)
_MOST_CLASSES_WITH_COUNTS = 30
"""With more classes the cells are too small for numbers."""

_MOST_NAMED_CLASSES = 130
"""With more classes the rows are too narrow for names."""

_EXAMPLE_COLUMNS = 6


@in_house_style
def confusion_matrix_figure(
    matrix: Int64[np.ndarray, "k k"], class_names: Sequence[str], title: str
) -> Figure:
    """Rows are the actual classes, columns the predicted ones.

    Cells show counts (up to 30 classes) and are shaded by their share of the row, so that rare
    classes are judged like frequent ones; the shading is stretched at its low end, where the
    errors are.

    Args:
      matrix: matrix[i, j] images of class i were predicted as class j.
      class_names: in the order of the labels.
      title: what is seen.
    """
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    norm = PowerNorm(0.5, vmin=0.0, vmax=1.0)
    figure, bar = draw_class_matrix(shares, _SHADES, norm, matrix, shares > 0.25, class_names, title)
    bar.set_ticks([0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.ax.yaxis.set_major_formatter(lambda share, _position: f"{100 * share:g} %")
    bar.set_label("share of the actual class")
    return figure


def draw_class_matrix(
    shades: Float64[np.ndarray, "k k"],
    colors: Colormap,
    norm: Normalize,
    counts: Int64[np.ndarray, "k k"],
    dark: Bool[np.ndarray, "k k"],
    class_names: Sequence[str],
    title: str,
    written: Callable[[int], str] = str,
) -> tuple[Figure, Colorbar]:
    """A square of cells, rows the actual classes and columns the predicted ones, with a scale of colors.

    Args:
      shades: decide the colors of the cells.
      colors: of the cells.
      norm: what of `colors` a shade is.
      counts: stand in the cells where there is room, but for zeros.
      dark: cells in which a count is written in white.
      class_names: in the order of the labels.
      title: what is seen.
      written: how a count is written.
    """
    size = len(class_names)
    cell = _cell_inches(size)
    names = class_labels(class_names)
    longest = max(map(len, names))
    margin = 1.1 + 0.075 * min(1.0, cell / 0.16) * longest
    figure = new_figure(max(cell * size + margin + 0.9, 4.4), max(cell * size + margin, 3.4))
    axes = figure.add_subplot()
    image = axes.imshow(shades, cmap=colors, norm=norm, interpolation="nearest")
    if size <= _MOST_NAMED_CLASSES:
        font_size = min(9.0, 72 * cell * 0.8)
        short = size <= 12 and longest <= 3
        axes.set_xticks(range(size), names, rotation=0 if short else 90, fontsize=font_size)
        axes.set_yticks(range(size), names, fontsize=font_size)
    axes.tick_params(length=0)
    axes.spines[:].set(visible=True, color=GRID)
    # Lines between the cells; as ticks of a grid they would take most of the drawing time.
    edges, thin = np.arange(size + 1) - 0.5, 0.8 if size <= _MOST_CLASSES_WITH_COUNTS else 0.2
    axes.hlines(edges, -0.5, size - 0.5, color=GRID, linewidth=thin)
    axes.vlines(edges, -0.5, size - 0.5, color=GRID, linewidth=thin)
    numbered = "" if size <= _MOST_NAMED_CLASSES else " (number)"
    axes.set(xlabel=f"predicted class{numbered}", ylabel=f"actual class{numbered}")
    axes.set_title(title, wrap=True)
    if size <= _MOST_CLASSES_WITH_COUNTS:
        _write_counts(axes, counts, dark, cell, written)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=30, pad=0.02)
    bar.outline.set_visible(False)
    return figure, bar


def _cell_inches(size: int) -> float:
    """Cells shrink as classes become more; beyond 133 of them the figure grows no more."""
    for most, inches in ((4, 0.75), (12, 0.44), (_MOST_CLASSES_WITH_COUNTS, 0.3)):
        if size <= most:
            return inches
    return min(0.105, 14 / size)


def _write_counts(
    axes: Axes,
    counts: Int64[np.ndarray, "k k"],
    dark: Bool[np.ndarray, "k k"],
    cell: float,
    written: Callable[[int], str],
) -> None:
    longest = max(2, *(len(written(int(count))) for count in (counts.min(), counts.max())))
    font_size = min(10.0, 72 * cell * 1.35 / longest)
    for row, column in zip(*np.nonzero(counts), strict=True):
        text, color = written(int(counts[row, column])), PAPER if dark[row, column] else INK
        axes.text(column, row, text, ha="center", va="center", fontsize=font_size, color=color)


@in_house_style
def examples_figure(examples: Sequence[Example], title: str) -> Figure:
    """Images in a grid: above each the predicted class with its probability, below a wrong one the actual."""
    rows = math.ceil(len(examples) / _EXAMPLE_COLUMNS)
    figure = new_figure(NARROW * 1.6, 0.5 + 1.6 * rows)
    grid = figure.subplots(rows, _EXAMPLE_COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, example in zip(grid.flat, examples, strict=False):
        axes.imshow(as_rgb(example.image), interpolation="nearest")
        predicted, actual = class_labels([example.predicted, example.actual], longest=14)
        said = f"{judged(predicted, example.right)} ({percent(example.confidence, 0)})"
        color = RIGHT if example.right else WRONG
        axes.set_title(said, loc="center", fontsize=8.0, fontweight="normal", color=color)
        if not example.right:
            told, below = f"actually {actual}", axes.transAxes
            axes.text(0.5, -0.03, told, transform=below, ha="center", va="top", fontsize=8.0, color=MUTED)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    return figure
