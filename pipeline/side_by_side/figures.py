"""Figures of two models: their trainings over each other, and how their confusions differ."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.reporting.figures.style import (
    BLUE,
    GRID,
    INK,
    PAPER,
    VERMILLION,
    WIDE,
    class_labels,
    in_house_style,
    new_figure,
    percent_axis,
)
from pipeline.reporting.results import History

FIRST, SECOND = "A", "B"
COLORS = {FIRST: BLUE, SECOND: VERMILLION}

_DIFFERENCES = LinearSegmentedColormap.from_list("differences", [BLUE, PAPER, VERMILLION])
_MOST_CLASSES_WITH_NUMBERS = 30
_MOST_NAMED_CLASSES = 130


@in_house_style
def curves_figure(histories: dict[str, History]) -> Figure:
    """Accuracy and loss of both trainings: validation images as lines, training images dashed."""
    figure = new_figure(WIDE, 3.6)
    accuracy, loss = figure.subplots(1, 2)
    for name, history in histories.items():
        single = "." if len(history) < 2 else ""
        for axes, train, validation in (
            (accuracy, history.accuracy, history.val_accuracy),
            (loss, history.loss, history.val_loss),
        ):
            axes.plot(history.epochs, train, color=COLORS[name], linestyle="--", marker=single, alpha=0.6)
            axes.plot(history.epochs, validation, color=COLORS[name], marker=single, label=name)
    percent_axis(accuracy, "y")
    accuracy.set(ylabel="accuracy", title="Accuracy")
    loss.set(ylabel="loss", title="Loss")
    loss.set_ylim(bottom=0)
    for axes in (accuracy, loss):
        axes.grid()
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    accuracy.legend(loc="lower right", title="validation images\n(dashed: training)")
    return figure


@in_house_style
def confusion_difference_figure(difference: np.ndarray, class_names: Sequence[str]) -> Figure:
    """How many images more B puts into each cell than A.

    Args:
      difference: int64, (K, K); B's confusion matrix minus A's, rows the actual classes.
      class_names: K names in the order of the labels.
    """
    count = len(class_names)
    cell = 0.75 if count <= 4 else 0.44 if count <= 12 else 0.3 if count <= 30 else min(0.105, 14 / count)
    names = class_labels(class_names)
    margin = 1.1 + 0.075 * min(1.0, cell / 0.16) * max(len(name) for name in names)
    side = cell * count
    figure = new_figure(max(side + margin + 0.9, 4.4), max(side + margin, 3.4))
    axes = figure.add_subplot()
    limit = max(1, int(np.abs(difference).max()))
    image = axes.imshow(difference, cmap=_DIFFERENCES, vmin=-limit, vmax=limit, interpolation="nearest")
    if count <= _MOST_NAMED_CLASSES:
        font_size = min(9.0, 72 * cell * 0.8)
        axes.set_xticks(range(count), names, rotation=90, fontsize=font_size)
        axes.set_yticks(range(count), names, fontsize=font_size)
    axes.tick_params(length=0)
    axes.spines[:].set(visible=True, color=GRID)
    axes.set(xlabel="predicted class", ylabel="actual class", title=f"{SECOND} minus {FIRST}, images")
    if count <= _MOST_CLASSES_WITH_NUMBERS:
        digits = len(str(limit)) + 1
        for row, column in zip(*np.nonzero(difference), strict=True):
            value = int(difference[row, column])
            axes.text(
                column,
                row,
                f"{value:+d}".replace("-", "−"),
                ha="center",
                va="center",
                fontsize=min(10.0, 72 * cell * 1.35 / max(digits, 2)),
                color=PAPER if abs(value) > 0.7 * limit else INK,
            )
    bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=30, pad=0.02)
    bar.set_label(f"blue: more often {FIRST}, red: more often {SECOND}")
    bar.outline.set_visible(False)
    return figure
