"""Training and validation curves."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.foundation.array_types import Float64, Int64
from pipeline.reporting.house_style import (
    BLUE,
    INK,
    MUTED,
    NARROW,
    PURPLE,
    THIRD,
    VERMILLION,
    candidate_color,
    candidate_marker,
    in_house_style,
    new_figure,
    percent_axis,
)
from pipeline.reporting.results import History
from pipeline.reporting.wording import candidate_title

PHASE_NAMES = {"train": "training", "head": "head only", "fine_tune": "fine-tuning"}


@in_house_style
def training_curves_figure(history: History, kept_epoch: int, title: str) -> Figure:
    """Accuracy, loss and learning rate over the epochs; phases and the kept epoch are marked."""
    figure = new_figure(THIRD, 5.4)
    accuracy, loss, rate = figure.subplots(3, 1, sharex=True, height_ratios=[3, 3, 1.3])
    epochs = history.epochs
    _pair(accuracy, epochs, history.accuracy, history.val_accuracy)
    percent_axis(accuracy, "y")
    accuracy.set_ylabel("accuracy")
    accuracy.legend(loc="lower right")
    _pair(loss, epochs, history.loss, history.val_loss)
    loss.set_ylabel("loss")
    loss.set_ylim(bottom=0)
    rate.plot(epochs, history.learning_rate, color=PURPLE, marker="." if len(epochs) < 2 else "")
    rate.set_ylabel("learning\nrate")
    rate.set_ylim(bottom=0)
    rate.set_xlabel("epoch")
    rate.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (accuracy, loss, rate):
        axes.grid()
        axes.axvline(kept_epoch, color=MUTED, linewidth=1.0, linestyle=":", gid="kept epoch")
    _mark_phases(history, (accuracy, loss, rate))
    figure.align_ylabels()
    accuracy.set_title(title, pad=20 if len(history.phase_starts()) > 1 else 6, wrap=True)
    return figure


@in_house_style
def validation_accuracy_figure(histories: Mapping[str, History]) -> Figure:
    """The validation accuracy of every candidate in one chart."""
    figure = new_figure(NARROW, 3.4)
    axes = figure.add_subplot()
    for candidate, history in histories.items():
        axes.plot(
            history.epochs,
            history.val_accuracy,
            color=candidate_color(candidate),
            marker=candidate_marker(candidate),
            markevery=max(1, len(history) // 12),
            label=candidate_title(candidate),
        )
    percent_axis(axes, "y")
    axes.set_ylabel("validation accuracy")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid()
    axes.legend(loc="lower right")
    axes.set_title("How fast each model learned")
    return figure


def _pair(
    axes: Axes,
    epochs: Int64[np.ndarray, " e"],
    train: Float64[np.ndarray, " e"],
    validation: Float64[np.ndarray, " e"],
) -> None:
    single = "." if len(epochs) < 2 else ""
    axes.plot(epochs, train, color=BLUE, linestyle="--", marker=single, label="training images")
    axes.plot(epochs, validation, color=VERMILLION, marker=single, label="validation images")


def _mark_phases(history: History, panels: tuple[Axes, ...]) -> None:
    """A line where a phase begins, and its name above the first panel; nothing for a single phase."""
    starts = history.phase_starts()
    if len(starts) < 2:
        return
    ends = [epoch for epoch, _ in starts[1:]] + [int(history.epochs[-1]) + 1]
    for (begin, phase), end in zip(starts, ends, strict=True):
        if begin > int(history.epochs[0]):
            for axes in panels:
                axes.axvline(begin - 0.5, color=INK, linewidth=1.0, gid="phase")
        panels[0].text(
            (begin + end - 1) / 2,
            1.02,
            PHASE_NAMES.get(phase, phase),
            transform=panels[0].get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=9.0,
            color=MUTED,
        )
