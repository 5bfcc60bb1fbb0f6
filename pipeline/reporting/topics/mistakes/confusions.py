"""What is taken for what: confusion matrices, and the pairs of classes that are confused most."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.foundation.array_types import Int64
from pipeline.reporting.document import (
    Block,
    Chart,
    Details,
    Finding,
    Heading,
    Paragraph,
    Row,
    Slide,
    Strip,
    Strips,
    Table,
)
from pipeline.reporting.results import Candidate, RunResults
from pipeline.reporting.selection import surest_first
from pipeline.reporting.topics.mistakes.figures import confusion_matrix_figure
from pipeline.reporting.wording import counted, percent, quoted, whole
from pipeline.scoring.scores import confusion_matrix

_MOST_PAIRS = 10
_PICTURED_PAIRS = 3
_IMAGES_PER_SIDE = 8
_MOST_CLASSES_ON_SLIDE = 30
"""Larger confusion matrices cannot be read on a slide; a table of confused pairs can."""


class ConfusedPair(NamedTuple):
    """`images` of the `support` images of the class `actual` were taken for the class `predicted`."""

    actual: str
    predicted: str
    images: int
    support: int


def confusions(results: RunResults) -> Iterator[Block]:
    winner = results.winner
    pairs = confused_pairs(confusion_matrix(winner.predictions), results.class_names)
    table = _pairs_table(pairs, winner.title)
    many = len(results.class_names) > _MOST_CLASSES_ON_SLIDE
    how_to_read = (
        "Each row of a confusion matrix holds the test images of one class, each column what they were taken "
        "for. What lies on the diagonal is right; what lies beside it says which classes look alike to the "
        "network."
    )
    yield Slide(
        name="confusion",
        title="What is taken for what",
        blocks=(
            Paragraph(how_to_read, spoken=many),
            Finding(most_frequent_confusion(pairs, winner.title)),
            _confusion_chart(winner, results),
        ),
        notes=f"Of {counted(winner.test.images, 'test image')} {winner.title} is right on "
        f"{whole(winner.test.images - winner.mistakes)}.",
        visual=table if many and pairs else None,
    )
    if results.others:
        charts = Row(tuple(_confusion_chart(other, results) for other in results.others))
        yield Details("Confusion matrices of the other networks", (charts,))
    if pairs:
        yield table
        yield Heading("The classes that are confused most")
        yield from _pictured_pairs(results)


def confused_pairs(matrix: Int64[np.ndarray, "k k"], class_names: Sequence[str]) -> list[ConfusedPair]:
    """Pairs of classes that were confused, the most images first; rows of the matrix are actual classes."""
    errors = matrix - np.diag(np.diagonal(matrix))
    order = np.argsort(-errors, axis=None, kind="stable")[: np.count_nonzero(errors)]
    support = matrix.sum(axis=1)
    return [
        ConfusedPair(class_names[i], class_names[j], int(errors[i, j]), int(support[i]))
        for i, j in zip(*np.unravel_index(order, errors.shape), strict=True)
    ]


def mutual_confusions(matrix: Int64[np.ndarray, "k k"], most: int) -> list[tuple[int, int]]:
    """Pairs of labels, the lower one first, that are confused with each other most, in either direction."""
    both_ways = np.triu(matrix + matrix.T, k=1)
    order = np.argsort(-both_ways, axis=None, kind="stable")[: min(most, np.count_nonzero(both_ways))]
    return [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, both_ways.shape), strict=True)]


def most_frequent_confusion(pairs: Sequence[ConfusedPair], title: str) -> str:
    """`pairs` are those that the network of that title confuses, most frequent first."""
    if not pairs:
        return f"{title} confuses no classes: it makes no mistake on the test images."
    pair = pairs[0]
    if pair.images == 1 and len(pairs) > 1:
        return f"{title} confuses no pair of classes more than once."
    return (
        f"The most frequent confusion of {title}: {quoted(pair.actual)} taken for {quoted(pair.predicted)}, "
        f"{whole(pair.images)} of {counted(pair.support, 'test image')} of {quoted(pair.actual)}."
    )


def _confusion_chart(candidate: Candidate, results: RunResults) -> Chart:
    matrix, total = confusion_matrix(candidate.predictions), len(candidate.predictions)
    title = f"{candidate.title}: {whole(candidate.mistakes)} of {whole(total)} test images wrong"
    return Chart(
        name=f"confusion_{candidate.name}",
        figure=confusion_matrix_figure(matrix, results.class_names, title),
        alt=f"Confusion matrix of {candidate.title}: {total - candidate.mistakes} of {total} test images lie "
        "on the diagonal.",
        caption="Shaded by share of the row; the shading is stretched so that rare errors show.",
    )


def _pairs_table(pairs: Sequence[ConfusedPair], title: str) -> Table:
    shown = pairs[:_MOST_PAIRS]
    more = f" (the first {len(shown)} of {len(pairs)})" if len(shown) < len(pairs) else ""
    return Table(
        caption=f"What {title} confuses most{more}",
        columns=("Actual class", "Taken for", "Images", "Share of the class"),
        rows=tuple(
            (pair.actual, pair.predicted, whole(pair.images), percent(pair.images / pair.support))
            for pair in shown
        ),
        text_columns=frozenset({0, 1}),
    )


def _pictured_pairs(results: RunResults) -> Iterator[Block]:
    """The most confused pairs, each with pictures of both classes: confused ones, then right ones."""
    matrix, names = confusion_matrix(results.winner.predictions), results.class_names
    yield Paragraph(
        f"Images that {results.winner.title} takes for the other class, the surest first, and below them "
        "images that it names correctly, again the surest first: what do the wrong ones have in common with "
        "the other class?"
    )
    for first, second in mutual_confusions(matrix, _PICTURED_PAIRS):
        images = counted(int(matrix[first, second] + matrix[second, first]), "test image")
        sides = [(first, second), (second, first), (first, first), (second, second)]
        strips = [_strip(results, actual, predicted) for actual, predicted in sides]
        caption = f"{quoted(names[first])} and {quoted(names[second])}: {images} confused."
        yield Strips(caption, tuple(strip for strip in strips if len(strip.images)))


def _strip(results: RunResults, actual: int, predicted: int) -> Strip:
    """The surest answers `predicted` of the chosen network for images of the class `actual`."""
    predictions = results.winner.predictions
    rows = np.flatnonzero((predictions.labels == actual) & (predictions.predicted == predicted))
    shown = surest_first(predictions, rows)[:_IMAGES_PER_SIDE]
    note = "named correctly" if actual == predicted else f"taken for {results.class_names[predicted]}"
    images = np.asarray(results.subsets["test"].images[shown])
    return Strip(results.class_names[actual], f"{note} ({whole(len(rows))})", images)
