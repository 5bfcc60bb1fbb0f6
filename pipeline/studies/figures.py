"""The chart of a study: every training, and the mean of each setting with its interval."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from pipeline.reporting.house_style import (
    BLUE,
    GREEN,
    MUTED,
    WIDE,
    in_house_style,
    new_figure,
    percent_axis,
)
from pipeline.studies.analysis import Analysis, SettingResult

_LEAST_SPAN = 0.01
"""Of the axis, shares of 1: scores that are nearly equal shall look so."""


@in_house_style
def means_figure(analysis: Analysis) -> Figure:
    """Validation accuracy of all settings, the first on top; a dashed line marks the reference's mean."""
    settings = analysis.settings
    figure = new_figure(WIDE, 1.1 + 0.36 * len(settings))
    axes = figure.subplots()
    for place, setting in enumerate(settings):
        color, marker = _look(setting, analysis)
        scores = [cell.score for cell in setting.done]
        axes.plot(
            scores, [place] * len(scores), ".", color=MUTED, markersize=4.5, gid=f"{setting.name}: seeds"
        )
        if setting.estimate is not None:
            ends = (setting.estimate.interval.low, setting.estimate.interval.high)
            axes.plot(ends, (place, place), color=color, linewidth=3.0, solid_capstyle="butt", alpha=0.45)
            axes.plot(setting.estimate.mean, place, marker, color=color, markersize=7.0, gid=setting.name)
    if analysis.reference.mean is not None:
        axes.axvline(analysis.reference.mean, color=MUTED, linestyle="--", linewidth=1.0, zorder=0)
    axes.set_yticks(range(len(settings)), [_label(setting) for setting in settings])
    axes.set_ylim(len(settings) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.set_xlabel("validation accuracy")
    axes.set_xlim(*_limits(settings))
    percent_axis(axes, "x")
    return figure


def _label(setting: SettingResult) -> str:
    failed = len(setting.failed)
    return f"{setting.name}\n✗ {failed} of {len(setting.cells)} failed" if failed else setting.name


def _look(setting: SettingResult, analysis: Analysis) -> tuple[str, str]:
    """Color and marker of a mean."""
    if analysis.recommended is setting:
        return GREEN, "D"
    return (MUTED, "s") if setting is analysis.reference else (BLUE, "o")


def _limits(settings: Sequence[SettingResult]) -> tuple[float, float]:
    """Of the axis: all scores, and of the intervals as much again; with few seeds they are far wider."""
    scores = [cell.score for setting in settings for cell in setting.done] or [0.0, 1.0]
    estimates = [setting.estimate for setting in settings if setting.estimate is not None]
    low, high = min(scores), max(scores)
    span = max(high - low, _LEAST_SPAN)
    lowest = min([low - 0.1 * span, *(each.interval.low for each in estimates)])
    highest = max([high + 0.1 * span, *(each.interval.high for each in estimates)])
    return max(lowest, low - span, 0.0), min(highest, high + span, 1.0 + 0.02 * span)
