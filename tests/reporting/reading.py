"""What tests read of sentences and figures, and results changed by hand."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.reporting.results import Candidate, RunResults
from pipeline.scoring.predictions import Predictions
from tests.reporting.fake_project import FakeProject

Load = Callable[[FakeProject], RunResults]


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def panels(figure: Figure) -> Any:
    """The axes of a figure; what they hold has more attributes than matplotlib's types tell."""
    return figure.axes


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def lines(axes: Axes, gid: str) -> list[tuple[list[float], list[float]]]:
    drawn: list[Any] = [line for line in axes.lines if line.get_gid() == gid]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in drawn]


def changed(results: RunResults, name: str, **changes: Any) -> RunResults:
    """The results with other values of one candidate; those of `test` and `validation` are its scores."""
    candidate = results.candidate(name)
    for subset in {"test", "validation"} & changes.keys():
        changes[subset] = dataclasses.replace(getattr(candidate, subset), **changes[subset])
    other = dataclasses.replace(candidate, **changes)
    candidates = tuple(other if each.name == name else each for each in results.candidates)
    return dataclasses.replace(results, candidates=candidates)


def predicted(probabilities: Sequence[Sequence[float]], labels: Sequence[int]) -> Predictions:
    return Predictions(np.array(probabilities, np.float32), np.array(labels), np.arange(len(labels)))


def with_test(
    candidate: Candidate, probabilities: Sequence[Sequence[float]], labels: Sequence[int]
) -> Candidate:
    """The candidate with other predictions of the test subset."""
    return dataclasses.replace(candidate, predictions=predicted(probabilities, labels))
