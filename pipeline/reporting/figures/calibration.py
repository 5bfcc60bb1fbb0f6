"""Reliability diagrams: whether confidence means what it says."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.reporting.figures.style import (
    GREEN,
    INK,
    MUTED,
    PAPER,
    THIRD,
    VERMILLION,
    in_house_style,
    new_figure,
    percent_axis,
)
from pipeline.scoring.calibration import Calibration
from pipeline.scoring.predictions import Predictions

FEW_IMAGES = 10
"""Points of bins with fewer images are drawn hollow: their accuracy is mostly chance."""

_CONFIDENCE_BINS = 20


@in_house_style
def reliability_figure(calibration: Calibration, color: str, title: str) -> Figure:
    """Accuracy against confidence, with the number of images per bin below."""
    figure = new_figure(THIRD, 4.2)
    diagram, histogram = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
    diagram.plot([0, 1], [0, 1], color=MUTED, linewidth=1.0, linestyle="--")
    diagram.text(0.03, 0.94, "above the line:\ntoo cautious", fontsize=8.5, color=MUTED, va="top")
    diagram.text(0.98, 0.03, "below the line:\ntoo sure", fontsize=8.5, color=MUTED, va="bottom", ha="right")
    many = calibration.images >= FEW_IMAGES
    diagram.plot(calibration.confidence[many], calibration.accuracy[many], "o-", color=color, linewidth=1.2)
    diagram.plot(
        calibration.confidence[~many], calibration.accuracy[~many], "o", color=color, markerfacecolor="white"
    )
    diagram.set(xlim=(0, 1.01), ylim=(-0.02, 1.02), ylabel="share that is right")
    percent_axis(diagram, "y")
    diagram.grid()
    diagram.set_title(title, wrap=True)
    histogram.bar(
        calibration.confidence, calibration.images, width=0.03, color=color, edgecolor=INK, linewidth=0.4
    )
    histogram.set(ylabel="images", xlabel="confidence")
    percent_axis(histogram, "x")
    histogram.grid(axis="y")
    figure.align_ylabels()
    return figure


@in_house_style
def confidence_figure(predictions: Predictions, title: str) -> Figure:
    """How sure a network is where it is right and where it is wrong; dotted lines mark the medians."""
    figure = new_figure(THIRD, 3.6)
    panels = figure.subplots(2, 1, sharex=True)
    confidence = predictions.probabilities.max(axis=1).astype(np.float64)
    edges = np.linspace(0.0, 1.0, _CONFIDENCE_BINS + 1)
    groups = (("right", predictions.right, GREEN, ""), ("wrong", ~predictions.right, VERMILLION, "///"))
    for axes, (name, chosen, color, hatch) in zip(panels, groups, strict=True):
        values = confidence[chosen]
        axes.hist(values, bins=edges, color=color, hatch=hatch, edgecolor=PAPER, linewidth=0.4)
        if len(values):
            axes.axvline(float(np.median(values)), color=INK, linewidth=1.2, linestyle=":", gid="median")
        axes.text(0, 1.03, f"{name} ({len(values):,})", transform=axes.transAxes, fontsize=9.0, color=MUTED)
        axes.set_ylabel("images")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.grid(axis="y")
    panels[1].set_xlabel("confidence")
    panels[1].set_xlim(0, 1)
    percent_axis(panels[1], "x")
    panels[0].set_title(title, pad=18, wrap=True)
    figure.align_ylabels()
    return figure
