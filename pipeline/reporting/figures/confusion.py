"""Confusion matrices, from 2 to several hundred classes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure

from pipeline.reporting.figures.style import GRID, INK, PAPER, class_labels, in_house_style, new_figure

_SHADES = LinearSegmentedColormap.from_list(
    "shades", [(0.0, "#ffffff"), (0.04, "#e3eef7"), (0.3, "#8fc1e0"), (0.7, "#0072b2"), (1.0, "#003a5c")]
)
_MOST_CLASSES_WITH_COUNTS = 30
"""With more classes the cells are too small for numbers."""

_MOST_NAMED_CLASSES = 130
"""With more classes the rows are too narrow for names."""


@in_house_style
def confusion_matrix_figure(matrix: np.ndarray, class_names: Sequence[str], title: str) -> Figure:
    """Rows are the actual classes, columns the predicted ones.

    Cells show counts (up to 30 classes) and are shaded by their share of the row, so that rare
    classes are judged like frequent ones; the shading is stretched at its low end, where the
    errors are.

    Args:
      matrix: int, (K, K); matrix[i, j] images of class i were predicted as class j.
      class_names: K names in the order of the labels.
      title: what is seen.
    """
    count = len(class_names)
    cell = _cell_inches(count)
    names = class_labels(class_names)
    margin = 1.1 + 0.075 * min(1.0, cell / 0.16) * max(len(name) for name in names)
    side = cell * count
    figure = new_figure(max(side + margin + 0.9, 4.4), max(side + margin, 3.4))
    axes = figure.add_subplot()
    totals = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(totals, 1)
    image = axes.imshow(
        shares, cmap=_SHADES, norm=PowerNorm(0.5, vmin=0.0, vmax=1.0), interpolation="nearest"
    )
    font_size = min(9.0, 72 * cell * 0.8)
    short = count <= 12 and max(len(name) for name in names) <= 3
    if count <= _MOST_NAMED_CLASSES:
        axes.set_xticks(range(count), names, rotation=0 if short else 90, fontsize=font_size)
        axes.set_yticks(range(count), names, fontsize=font_size)
    numbered = "" if count <= _MOST_NAMED_CLASSES else " (number)"
    axes.tick_params(length=0)
    axes.spines[:].set(visible=True, color=GRID)
    # Lines between the cells; as ticks of a grid they would take most of the drawing time.
    edges, thin = np.arange(count + 1) - 0.5, 0.8 if count <= _MOST_CLASSES_WITH_COUNTS else 0.2
    axes.hlines(edges, -0.5, count - 0.5, color=GRID, linewidth=thin)
    axes.vlines(edges, -0.5, count - 0.5, color=GRID, linewidth=thin)
    axes.set_xlabel(f"predicted class{numbered}")
    axes.set_ylabel(f"actual class{numbered}")
    axes.set_title(title, wrap=True)
    if count <= _MOST_CLASSES_WITH_COUNTS:
        _write_counts(axes, matrix, shares, cell)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=30, pad=0.02, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1])
    bar.ax.yaxis.set_major_formatter(lambda share, _position: f"{100 * share:g} %")
    bar.set_label("share of the actual class")
    bar.outline.set_visible(False)
    return figure


def _cell_inches(count: int) -> float:
    """Cells shrink as classes become more; beyond 133 of them the figure grows no more."""
    if count <= 4:
        return 0.75
    if count <= 12:
        return 0.44
    if count <= _MOST_CLASSES_WITH_COUNTS:
        return 0.3
    return min(0.105, 14 / count)


def _write_counts(axes: Axes, matrix: np.ndarray, shares: np.ndarray, cell: float) -> None:
    digits = len(str(int(matrix.max())))
    font_size = min(10.0, 72 * cell * 1.35 / max(digits, 2))
    for row, column in zip(*np.nonzero(matrix), strict=True):
        axes.text(
            column,
            row,
            str(int(matrix[row, column])),
            ha="center",
            va="center",
            fontsize=font_size,
            color=PAPER if shares[row, column] > 0.25 else INK,
        )
