"""Which network was chosen, how accurate it is, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.reporting.document import Chart, Dots, Series
from pipeline.reporting.house_style import (
    INK,
    MUTED,
    NARROW,
    candidate_color,
    candidate_marker,
    in_house_style,
    new_figure,
    percent_axis,
)
from pipeline.reporting.results import Candidate, RunResults
from pipeline.reporting.wording import (
    accuracy_decimals,
    counted,
    listed,
    percent,
    quantity,
    reference_title,
    whole,
)
from pipeline.scoring.scores import Scores

_REFERENCES = {
    "majority_class": "always naming the most frequent class",
    "logistic_regression": "a logistic regression on coarse pixels",
}


def choice(results: RunResults) -> str:
    """Which candidate was chosen, and by what."""
    winner, scores = results.winner, results.winner.validation
    decimals = accuracy_decimals(scores.images)
    measured = f"{right_of(scores)} validation images ({percent(scores.accuracy, decimals)})"
    if not results.others:
        return f"{winner.title} is the only network that was trained. It is right on {measured}."
    runner_up = max(results.others, key=lambda each: (each.validation.accuracy, -each.validation.log_loss))
    second = runner_up.validation
    if scores.accuracy > second.accuracy:
        lead = counted(round((scores.accuracy - second.accuracy) * scores.images), "image")
        reason = f"{lead} more than {runner_up.title} ({percent(second.accuracy, decimals)})"
    elif scores.log_loss < second.log_loss:
        reason = (
            f"as many as {runner_up.title}, and its probabilities are better "
            f"(log loss {scores.log_loss:.3f} against {second.log_loss:.3f})"
        )
    else:
        weights = quantity(winner.card.parameters.total)
        reason = f"as many as {runner_up.title}, with {weights} weights"
    return f"{winner.title} is the model of choice: it is right on {measured}, {reason}."


def verdict(results: RunResults, confidence: float) -> str:
    """All paired tests of the chosen candidate in one sentence; empty where they differ among each other."""
    tests = results.tests_of_winner
    if not tests:
        return ""
    clear = [test.comparison.is_significant(confidence) for test in tests]
    if all(clear) and all(test.comparison.accuracy_difference > 0 for test in tests):
        every = "every other network" if len(tests) > 1 else "the other network"
        return f"On the test images it beats {every} by more than chance explains."
    if not any(clear):
        differ = "no other network differs" if len(tests) > 1 else "the other network does not differ"
        return f"On the test images {differ} from it by more than chance explains."
    return ""


def on_test_images(candidate: Candidate, confidence: float) -> str:
    """How a candidate does on the test subset, and how sure that is."""
    scores = candidate.test
    if scores.accuracy == 1.0:
        # The largest error rate under which no error among so many images is not yet too unlikely.
        bound = 1.0 - (1.0 - confidence) ** (1.0 / scores.images)
        return (
            f"On the {counted(scores.images, 'test image')} it makes no mistake. That does not mean that it "
            f"never will: an error rate of up to {percent(bound, 2)} is compatible with it "
            f"(at {percent(confidence, 0)} confidence)."
        )
    interval = scores.accuracy_interval
    accuracy, low, high = (
        percent(share, candidate.decimals) for share in (scores.accuracy, interval.low, interval.high)
    )
    return (
        f"It is right on {right_of(scores)} test images, which is {accuracy}. "
        f"With that many images, the {percent(confidence, 0)} interval ranges from {low} to {high}."
    )


def right_of(scores: Scores) -> str:
    """ "350 of the 359"."""
    return f"{whole(round(scores.accuracy * scores.images))} of the {whole(scores.images)}"


def against_references(results: RunResults) -> str:
    """The chosen candidate beside the simple references; empty without any."""
    winner = results.winner
    accuracies = {name: scores["test"].accuracy for name, scores in results.references.items()}
    parts = [
        f"{what} gets {percent(accuracies[name], winner.decimals)} right"
        for name, what in _REFERENCES.items()
        if name in accuracies
    ]
    if not parts:
        return ""
    text = f"For scale: of the test images, {listed(parts)}."
    unbeaten = [
        reference_title(n).lower() for n, accuracy in accuracies.items() if accuracy >= winner.test.accuracy
    ]
    return f"{text} {winner.title} does no better than the {listed(unbeaten)}." if unbeaten else text


def accuracy_chart(results: RunResults, confidence: float) -> Chart:
    """Test accuracies with their intervals; slides show those of the networks alone."""
    scores = [candidate.test for candidate in results.candidates]
    rows = [
        MeasuredAccuracy(each.title, each.name, each.test, each.validation.accuracy)
        for each in results.candidates
    ]
    rows += [
        MeasuredAccuracy(reference_title(name), None, by_subset["test"], None)
        for name, by_subset in results.references.items()
    ]
    told = [f"{row.title} {percent(row.scores.accuracy, results.winner.decimals)}" for row in rows]
    interval = f"{percent(confidence, 0)} interval"
    return Chart(
        name="accuracy",
        figure=accuracy_figure(rows, "Test images that each model gets right"),
        alt=f"Accuracy on the test images: {', '.join(told)}.",
        caption=f"Mark: test accuracy; bar: its {interval}; upright line: validation accuracy.",
        data=Dots(
            categories=tuple(candidate.title for candidate in results.candidates),
            series=(Series("test accuracy", tuple(each.accuracy for each in scores), ""),),
            colors=tuple(candidate_color(candidate.name) for candidate in results.candidates),
            intervals=tuple(each.accuracy_interval for each in scores),
            axis_titles=("", f"test accuracy with its {interval}"),
            alt=f"Test accuracy of each network with its {interval}: {', '.join(told[: len(scores)])}.",
        ),
    )


@dataclass(frozen=True)
class MeasuredAccuracy:
    """A row of the figure; `candidate` and `validation` are None for a simple reference."""

    title: str
    candidate: str | None
    scores: Scores
    validation: float | None


@in_house_style
def accuracy_figure(rows: Sequence[MeasuredAccuracy], title: str) -> Figure:
    """Test accuracy with its interval; above all models, below only the trained ones, enlarged."""
    trained = [row for row in rows if row.candidate is not None]
    enlarge = len(trained) < len(rows)
    sizes = [len(rows), len(trained)] if enlarge else [len(rows)]
    figure = new_figure(NARROW, 1.3 * len(sizes) + 0.3 * sum(sizes))
    panels = figure.subplots(len(sizes), 1, squeeze=False, height_ratios=[size + 1.2 for size in sizes])[:, 0]
    _draw_accuracies(panels[0], rows)
    panels[0].set_title(title, wrap=True)
    if enlarge:
        panels[0].set_xlim(0, 1.02)
        _draw_accuracies(panels[1], trained)
        panels[1].set_title("The networks alone, enlarged")
    panels[-1].set_xlabel("accuracy")
    return figure


def _draw_accuracies(axes: Axes, rows: Sequence[MeasuredAccuracy]) -> None:
    for place, row in enumerate(rows):
        scores = row.scores
        color = MUTED if row.candidate is None else candidate_color(row.candidate)
        marker = "D" if row.candidate is None else candidate_marker(row.candidate)
        ends = (scores.accuracy_interval.low, scores.accuracy_interval.high)
        axes.plot(ends, (place, place), color=color, linewidth=3.0, solid_capstyle="butt", alpha=0.45)
        axes.plot(scores.accuracy, place, marker, color=color, markersize=7.0, gid=row.title)
        if row.validation is not None:
            axes.plot(row.validation, place, "|", color=INK, markersize=11.0, markeredgewidth=1.4)
    axes.set_yticks(range(len(rows)), [row.title for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.locator_params(axis="x", nbins=6)
    percent_axis(axes, "x")
