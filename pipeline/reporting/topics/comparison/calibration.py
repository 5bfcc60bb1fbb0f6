"""Confidence: whether it means what it says, and whether it warns of mistakes."""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.foundation.array_types import Bool, Float64
from pipeline.inference.model_card import ModelCard
from pipeline.params.base import flattened
from pipeline.reporting.document import Block, Chart, Heading, Paragraph, Row
from pipeline.reporting.house_style import (
    GREEN,
    INK,
    MUTED,
    PAPER,
    THIRD,
    VERMILLION,
    candidate_color,
    in_house_style,
    new_figure,
    percent_axis,
)
from pipeline.reporting.results import Candidate, RunResults
from pipeline.reporting.wording import compact, listed, percent
from pipeline.scoring.calibration import Calibration, calibrate
from pipeline.scoring.curves import sure_answers

_FEW_IMAGES = 10
"""Points of bins with fewer images are drawn hollow: their accuracy is mostly chance."""

_CONFIDENCE_BINS = 20
_SURE = 0.9
"""Confidence from which on an answer is called sure."""


def confidence_blocks(results: RunResults, bins: int) -> Iterator[Block]:
    """Reliability diagrams of so many bins, and histograms of confidence."""
    yield Heading("Does confidence mean what it says?")
    yield Paragraph(
        "Of all answers given with 80 % confidence, 80 % should be right; then the points lie on the dashed "
        "line. Confidence is the probability of the predicted class. Hollow points stand for fewer than "
        f"{_FEW_IMAGES} images and are mostly chance."
    )
    yield Row(tuple(_reliability_chart(candidate, bins) for candidate in results.candidates))
    yield Heading("Is it less sure where it is wrong?")
    yield Paragraph(
        "Confidence is useful where it warns: the further apart right and wrong answers lie, the more "
        f"mistakes can be held back by asking for confidence. {rejection(results.winner)}"
    )
    yield Row(tuple(map(_confidence_chart, results.candidates)))


def calibration(candidate: Candidate) -> str:
    """Whether a candidate's confidence on the test images is justified."""
    confidence, accuracy = candidate.confidence.mean(), candidate.predictions.right.mean()
    evidence = (
        f"(mean confidence {percent(confidence)}, right on {percent(accuracy)}; "
        f"expected calibration error {percent(candidate.test.ece)})"
    )
    if is_as_sure_as_right(candidate):
        return f"{candidate.title} is, on the whole, as sure as it should be {evidence}."
    excess = 100 * (confidence - accuracy)
    if excess > 0:
        return f"{candidate.title} is too sure of itself, by {excess:.1f} points {evidence}."
    smoothing = label_smoothing(candidate.card)
    because = f", as label smoothing ({compact(smoothing)}) tends to make networks" if smoothing else ""
    return f"{candidate.title} is too cautious, by {-excess:.1f} points{because} {evidence}."


def is_as_sure_as_right(candidate: Candidate) -> bool:
    """Whether mean confidence and accuracy on the test images differ by no more than chance explains."""
    accuracy = float(candidate.predictions.right.mean())
    noise = 2.0 * float(np.sqrt(accuracy * (1.0 - accuracy) / len(candidate.predictions)))
    return abs(float(candidate.confidence.mean()) - accuracy) <= max(noise, 0.005)


def label_smoothing(card: ModelCard) -> float:
    """The share of each training label that was spread over all classes; 0 where none was."""
    found = [value for name, value in flattened(card.hyperparameters) if name.endswith("label_smoothing")]
    return float(str(found[0])) if found else 0.0


def rejection(candidate: Candidate) -> str:
    """What would remain if a candidate answered only where it is sure."""
    found = sure_answers(candidate.predictions, _SURE)
    if found.accuracy is None:
        return f"{candidate.title} is not {percent(_SURE, 0)} sure of any answer."
    if found.share == 1.0:
        return f"{candidate.title} is at least {percent(_SURE, 0)} sure of every answer."
    right, of_all = (
        percent(float(share), candidate.decimals)
        for share in (found.accuracy, candidate.predictions.right.mean())
    )
    return (
        f"If {candidate.title} answered only where it is at least {percent(_SURE, 0)} sure, it would answer "
        f"for {percent(found.share)} of the test images and be right on {right} of those (of all: {of_all})."
    )


def confidences(candidate: Candidate) -> str:
    """The medians of confidence in right and in wrong answers."""
    right = candidate.predictions.right
    medians = [
        f"{percent(float(np.median(candidate.confidence[chosen])), 0)} where it is {word}"
        for chosen, word in ((right, "right"), (~right, "wrong"))
        if chosen.any()
    ]
    return f"Median confidence: {listed(medians)}."


def _reliability_chart(candidate: Candidate, bins: int) -> Chart:
    found = calibrate(candidate.predictions, bins)
    told = ", ".join(
        f"{percent(confidence, 0)} confident, {percent(accuracy, 0)} right"
        for confidence, accuracy in zip(found.confidence, found.accuracy, strict=True)
    )
    title = f"{candidate.title}: off by {100 * candidate.test.ece:.1f} points"
    return Chart(
        name=f"calibration_{candidate.name}",
        figure=reliability_figure(found, candidate_color(candidate.name), title),
        alt=f"Reliability diagram of {candidate.title}: {told}.",
        caption=calibration(candidate),
    )


def _confidence_chart(candidate: Candidate) -> Chart:
    told = confidences(candidate)
    title = f"{candidate.title}: right and wrong"
    return Chart(
        name=f"confidence_{candidate.name}",
        figure=confidence_figure(candidate.confidence, candidate.predictions.right, title),
        alt=f"Histograms of confidence, of right answers above and of wrong ones below. {told}",
        caption=told,
    )


@in_house_style
def reliability_figure(calibration: Calibration, color: str, title: str) -> Figure:
    """Accuracy against confidence, with the number of images per bin below."""
    figure = new_figure(THIRD, 4.2)
    diagram, histogram = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
    diagram.plot([0, 1], [0, 1], color=MUTED, linewidth=1.0, linestyle="--")
    diagram.text(0.03, 0.94, "above the line:\ntoo cautious", fontsize=8.5, color=MUTED, va="top")
    diagram.text(0.98, 0.03, "below the line:\ntoo sure", fontsize=8.5, color=MUTED, va="bottom", ha="right")
    confidence, accuracy, many = (
        calibration.confidence,
        calibration.accuracy,
        calibration.images >= _FEW_IMAGES,
    )
    diagram.plot(confidence[many], accuracy[many], "o-", color=color, linewidth=1.2)
    diagram.plot(confidence[~many], accuracy[~many], "o", color=color, markerfacecolor="white")
    diagram.set(xlim=(0, 1.01), ylim=(-0.02, 1.02), ylabel="share that is right")
    percent_axis(diagram, "y")
    diagram.grid()
    diagram.set_title(title, wrap=True)
    histogram.bar(confidence, calibration.images, width=0.03, color=color, edgecolor=INK, linewidth=0.4)
    histogram.set(ylabel="images", xlabel="confidence")
    percent_axis(histogram, "x")
    histogram.grid(axis="y")
    figure.align_ylabels()
    return figure


@in_house_style
def confidence_figure(
    confidence: Float64[np.ndarray, " n"], right: Bool[np.ndarray, " n"], title: str
) -> Figure:
    """How sure a network is where it is right and where it is wrong; dotted lines mark the medians."""
    figure = new_figure(THIRD, 3.6)
    panels = figure.subplots(2, 1, sharex=True)
    edges = np.linspace(0.0, 1.0, _CONFIDENCE_BINS + 1)
    groups = (("right", right, GREEN, ""), ("wrong", ~right, VERMILLION, "///"))
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
