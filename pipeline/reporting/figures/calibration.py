"""Reliability diagrams: whether confidence means what it says."""

from matplotlib.figure import Figure

from pipeline.reporting.figures.style import INK, MUTED, THIRD, in_house_style, new_figure, percent_axis
from pipeline.scoring.calibration import Calibration

FEW_IMAGES = 10
"""Points of bins with fewer images are drawn hollow: their accuracy is mostly chance."""


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
