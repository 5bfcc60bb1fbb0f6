"""What a search over hyperparameters tried and reached."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from pipeline.reporting.house_style import (
    MUTED,
    NARROW,
    VERMILLION,
    in_house_style,
    new_figure,
    percent_axis,
)
from pipeline.reporting.results import SearchedSetting
from pipeline.reporting.wording import number

_LOGARITHMIC_FROM = 15.0
"""Values that span more than this factor are drawn on a logarithmic axis."""

_FEW_VALUES = 4
"""So many values of a hyperparameter are written out on its axis."""


@in_house_style
def trials_figure(trials: Sequence[SearchedSetting], best: SearchedSetting | None, title: str) -> Figure:
    """The validation accuracy of every finished trial, in order and against each hyperparameter."""
    places = [place for place, trial in enumerate(trials) if trial.val_accuracy is not None]
    finished = [trials[place] for place in places]
    names = list(trials[0].hyperparameters)
    panels = 1 + len(names)
    rows = math.ceil(panels / 2)
    figure = new_figure(NARROW, 0.5 + 1.55 * rows)
    grid = figure.subplots(rows, 2, sharey=True, squeeze=False)
    order, *others = grid.flat[:panels]
    _scatter(order, [float(place) for place in places], finished, best)
    order.set_xlabel("trial, in order")
    order.xaxis.set_major_locator(MaxNLocator(integer=True))
    for name, axes in zip(names, others, strict=True):
        _against(axes, name, finished, best)
    for axes in grid.flat[panels:]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("validation\naccuracy")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    return figure


def _against(axes: Axes, name: str, trials: Sequence[SearchedSetting], best: SearchedSetting | None) -> None:
    texts = [trial.hyperparameters[name] for trial in trials]
    numbers = [value for value in map(number, texts) if value is not None]
    if len(numbers) == len(texts):
        if min(numbers) > 0 and max(numbers) / min(numbers) > _LOGARITHMIC_FROM:
            axes.set_xscale("log")
            # Its own labels are formulas, which the house style does not draw.
            axes.xaxis.set_major_formatter(lambda value, _position: f"{value:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        _scatter(axes, numbers, trials, best)
        values = sorted(set(numbers))
        if len(values) <= _FEW_VALUES:
            axes.set_xticks(values, [f"{value:.3g}" for value in values])
            axes.minorticks_off()
    else:
        choices = sorted(set(texts))
        _scatter(axes, [float(choices.index(text)) for text in texts], trials, best)
        axes.set_xticks(range(len(choices)), choices)
    axes.set_xlabel(name)


def _scatter(
    axes: Axes, x: Sequence[float], trials: Sequence[SearchedSetting], best: SearchedSetting | None
) -> None:
    y = [float(trial.val_accuracy) for trial in trials if trial.val_accuracy is not None]
    axes.plot(x, y, "o", color=MUTED, alpha=0.75, gid="trials")
    for horizontal, vertical, trial in zip(x, y, trials, strict=True):
        if trial == best:
            star = axes.plot(horizontal, vertical, "*", color=VERMILLION, markersize=13.0, gid="best")
            star[0].set_markeredgecolor("white")
    axes.margins(x=0.14, y=0.14)
    axes.grid()
    percent_axis(axes, "y")
