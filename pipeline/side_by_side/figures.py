"""Figures of two models: their trainings in one chart, and how their confusions differ."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.foundation.array_types import Int64
from pipeline.reporting.house_style import (
    BLUE,
    PAPER,
    VERMILLION,
    WIDE,
    in_house_style,
    new_figure,
    percent_axis,
)
from pipeline.reporting.results import History
from pipeline.reporting.topics.mistakes.figures import draw_class_matrix
from pipeline.reporting.wording import signed
from pipeline.side_by_side.models import FIRST, SECOND

_COLORS = {FIRST: BLUE, SECOND: VERMILLION}

_DIFFERENCES = LinearSegmentedColormap.from_list("differences", [BLUE, PAPER, VERMILLION])


@in_house_style
def curves_figure(histories: Mapping[str, History]) -> Figure:
    """Accuracy and loss of both trainings: validation images as lines, training images dashed."""
    figure = new_figure(WIDE, 3.6)
    accuracy, loss = figure.subplots(1, 2)
    for name, history in histories.items():
        single = "." if len(history) < 2 else ""
        for axes, train, validation in (
            (accuracy, history.accuracy, history.val_accuracy),
            (loss, history.loss, history.val_loss),
        ):
            axes.plot(history.epochs, train, color=_COLORS[name], linestyle="--", marker=single, alpha=0.6)
            axes.plot(history.epochs, validation, color=_COLORS[name], marker=single, label=name)
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
def confusion_difference_figure(difference: Int64[np.ndarray, "k k"], class_names: Sequence[str]) -> Figure:
    """How many images more B puts into each cell than A.

    Args:
      difference: B's confusion matrix minus A's, rows the actual classes.
      class_names: in the order of the labels.
    """
    limit = max(1, int(np.abs(difference).max()))
    shades, norm = difference.astype(np.float64), Normalize(-limit, limit)
    dark, title = np.abs(difference) > 0.7 * limit, f"{SECOND} minus {FIRST}, images"
    figure, bar = draw_class_matrix(
        shades, _DIFFERENCES, norm, difference, dark, class_names, title, lambda count: signed(count, 0)
    )
    bar.set_label(f"blue: more often {FIRST}, red: more often {SECOND}")
    return figure
