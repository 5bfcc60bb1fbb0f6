"""What goes wrong and what goes right: confusion matrices and single images."""

from collections import Counter

import numpy as np

from pipeline.reporting import statements
from pipeline.reporting.content.examples import example, joint_example
from pipeline.reporting.content.settings import ReportSettings
from pipeline.reporting.document import (
    Block,
    Chart,
    Details,
    Finding,
    Gallery,
    Heading,
    Paragraph,
    Row,
    Section,
    Strip,
    Strips,
    Table,
)
from pipeline.reporting.figures.confusion import confusion_matrix_figure
from pipeline.reporting.figures.examples import examples_figure
from pipeline.reporting.results import Candidate, Results
from pipeline.reporting.wording import candidate_title, counted, percent, quoted, whole
from pipeline.scoring.predictions import Predictions
from pipeline.scoring.scores import confusion_matrix

_RIGHT_EXAMPLES = 12
_MOST_PAIRS = 10
_PICTURED_PAIRS = 3
_IMAGES_PER_SIDE = 8
_MOST_DOUBTFUL = 24
_IN_FIGURE = 12

Pair = tuple[str, str, int, int]
"""Actual class, predicted class, images confused, images of the actual class."""


def mistakes_section(results: Results, settings: ReportSettings) -> Section:
    winner = results.winner
    name = candidate_title(winner.name)
    matrix = confusion_matrix(winner.predictions["test"])
    pairs = confused_pairs(matrix, results.class_names)
    blocks: list[Block] = [
        Paragraph(
            "Each row of a confusion matrix holds the test images of one class, each column what they "
            "were taken for. "
            "What lies on the diagonal is right; what lies beside it says which classes look alike to "
            "the network."
        ),
        Finding(statements.confusions(pairs, name)),
        _confusion_chart(winner, results),
    ]
    others = tuple(_confusion_chart(other, results) for other in results.candidates if other is not winner)
    if others:
        blocks.append(Details("Confusion matrices of the other networks", (Row(others),)))
    if pairs:
        blocks += [_pairs_table(pairs, name), Heading("The classes that are confused most")]
        blocks += _pictured_pairs(results)
    blocks += [Heading("Mistakes"), *_mistakes(results, settings)]
    blocks += _doubtful_labels(results)
    blocks += _right_answers(results, settings)
    return Section(anchor="mistakes", title="Right and wrong answers", blocks=tuple(blocks))


def mistakes_charts(results: Results, settings: ReportSettings) -> list[Chart]:
    """The chosen network's most confident mistakes as one figure; none where it makes no mistake."""
    rows = most_confident_mistakes(results.winner, min(settings.report.mistakes, _IN_FIGURE))
    if not len(rows):
        return []
    name = candidate_title(results.winner.name)
    examples = [example(results, results.winner, row) for row in rows]
    return [
        Chart(
            name="mistakes",
            figure=examples_figure(examples, f"{name}: the mistakes that it is most sure of"),
            alt=f"The most confident mistakes of {name} with the predicted and the actual class.",
            caption="",
            pictorial=True,
        )
    ]


def confused_pairs(matrix: np.ndarray, class_names: tuple[str, ...]) -> list[Pair]:
    """Pairs of classes that were confused, the most images first; matrix is int, (K, K), rows actual."""
    errors = matrix - np.diag(np.diagonal(matrix))
    order = np.argsort(-errors, axis=None, kind="stable")[: np.count_nonzero(errors)]
    support = matrix.sum(axis=1)
    pairs = []
    for actual, predicted in zip(*np.unravel_index(order, errors.shape), strict=True):
        images = int(errors[actual, predicted])
        pairs.append((class_names[actual], class_names[predicted], images, int(support[actual])))
    return pairs


def most_confident_mistakes(candidate: Candidate, most: int) -> np.ndarray:
    """Rows of the test subset that are wrong, the highest probability of the wrong class first: int64."""
    predictions = candidate.predictions["test"]
    return _surest_first(predictions, np.flatnonzero(~predictions.right))[:most]


def mutual_confusions(matrix: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Pairs of labels, the lower one first, that are confused with each other most, in either direction.

    Args:
      matrix: int, (K, K); rows are actual classes.
    """
    both_ways = np.triu(matrix + matrix.T, k=1)
    order = np.argsort(-both_ways, axis=None, kind="stable")[: min(most, np.count_nonzero(both_ways))]
    return [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, both_ways.shape), strict=True)]


def doubtful_rows(results: Results) -> np.ndarray:
    """Rows of the test subset whose label no candidate believes, the least believed first: int64.

    All candidates name another class, and so do the means of their probabilities. The lower the mean
    probability of the label, the likelier the label is an error (Kuan and Mueller, "Model-agnostic
    label quality scoring to detect real-world label errors", 2022: ensemble's self-confidence).
    """
    every = [candidate.predictions["test"] for candidate in results.candidates]
    mean = np.mean([predictions.probabilities for predictions in every], axis=0)
    labels = every[0].labels
    wrong = np.logical_and.reduce([~predictions.right for predictions in every])
    rows = np.flatnonzero(wrong & (mean.argmax(axis=1) != labels))
    return rows[np.argsort(mean[rows, labels[rows]], kind="stable")]


def _surest_first(predictions: Predictions, rows: np.ndarray) -> np.ndarray:
    confidence = predictions.probabilities[rows].max(axis=1, initial=0.0)
    return rows[np.argsort(-confidence, kind="stable")]


def _confusion_chart(candidate: Candidate, results: Results) -> Chart:
    matrix = confusion_matrix(candidate.predictions["test"])
    name = candidate_title(candidate.name)
    right, total = int(np.trace(matrix)), int(matrix.sum())
    return Chart(
        name=f"confusion_{candidate.name}",
        figure=confusion_matrix_figure(
            matrix, results.class_names, f"{name}: {whole(total - right)} of {whole(total)} test images wrong"
        ),
        alt=f"Confusion matrix of {name}: {right} of {total} test images lie on the diagonal.",
        caption="Shaded by share of the row; the shading is stretched so that rare errors show.",
    )


def _pairs_table(pairs: list[Pair], title: str) -> Table:
    shown = pairs[:_MOST_PAIRS]
    more = f" (the first {len(shown)} of {len(pairs)})" if len(shown) < len(pairs) else ""
    return Table(
        caption=f"What {title} confuses most{more}",
        columns=("Actual class", "Taken for", "Images", "Share of the class"),
        rows=tuple(
            (actual, predicted, whole(images), percent(images / support))
            for actual, predicted, images, support in shown
        ),
        numeric=(False, False, True, True),
    )


def _pictured_pairs(results: Results) -> list[Block]:
    """The most confused pairs, each with pictures of both classes: confused ones, then right ones."""
    winner = results.winner
    predictions = winner.predictions["test"]
    matrix = confusion_matrix(predictions)
    names = results.class_names
    blocks: list[Block] = [
        Paragraph(
            f"Images that {candidate_title(winner.name)} takes for the other class, the surest first, and "
            "below them images that it names rightly, surest first too: what do the wrong ones have in "
            "common with the other class?"
        )
    ]
    for first, second in mutual_confusions(matrix, _PICTURED_PAIRS):
        images = int(matrix[first, second] + matrix[second, first])
        sides = [(first, second), (second, first), (first, first), (second, second)]
        strips = [_strip(results, predictions, actual, predicted) for actual, predicted in sides]
        blocks.append(
            Strips(
                caption=(
                    f"{quoted(names[first])} and {quoted(names[second])}: "
                    f"{counted(images, 'test image')} confused."
                ),
                strips=tuple(strip for strip in strips if len(strip.images)),
            )
        )
    return blocks


def _strip(results: Results, predictions: Predictions, actual: int, predicted: int) -> Strip:
    """The surest answers `predicted` for images of the class `actual`."""
    rows = np.flatnonzero((predictions.labels == actual) & (predictions.predicted == predicted))
    shown = _surest_first(predictions, rows)[:_IMAGES_PER_SIDE]
    note = "named rightly" if actual == predicted else f"taken for {results.class_names[predicted]}"
    images = np.asarray(results.subsets["test"].images[shown])
    return Strip(results.class_names[actual], f"{note} ({whole(len(rows))})", images)


def _mistakes(results: Results, settings: ReportSettings) -> list[Block]:
    winner = results.winner
    blocks = _mistakes_of(winner, results, settings)
    for other in results.candidates:
        if other is not winner:
            blocks.append(
                Details(
                    f"Mistakes of {candidate_title(other.name)}",
                    tuple(_mistakes_of(other, results, settings)),
                )
            )
    return blocks


def _mistakes_of(candidate: Candidate, results: Results, settings: ReportSettings) -> list[Block]:
    rows = most_confident_mistakes(candidate, settings.report.mistakes)
    name = candidate_title(candidate.name)
    wrong = int((~candidate.predictions["test"].right).sum())
    if not wrong:
        return [Paragraph(f"{name} makes no mistake on the test images.")]
    shown = f"the {len(rows)} that it is most sure of" if len(rows) < wrong else "surest first"
    return [
        Gallery(
            name=f"mistakes_{candidate.name}",
            caption=f"{name}: {counted(wrong, 'mistake')} on the test images, {shown}.",
            examples=tuple(example(results, candidate, row) for row in rows),
            filterable=True,
        )
    ]


def _doubtful_labels(results: Results) -> list[Block]:
    """Images that all candidates get wrong; nothing to say where there is one candidate only."""
    together = statements.wrong_by_all(results)
    if not together:
        return []
    rows = doubtful_rows(results)
    blocks: list[Block] = [Heading("Images that every network gets wrong"), Paragraph(together)]
    if len(rows):
        shown = f" (the first {_MOST_DOUBTFUL} of {whole(len(rows))})" if len(rows) > _MOST_DOUBTFUL else ""
        blocks.append(
            Gallery(
                name="doubtful_labels",
                caption=(
                    f"Labels that the networks believe least{shown}, with the mean of their probabilities."
                ),
                examples=tuple(joint_example(results, row) for row in rows[:_MOST_DOUBTFUL]),
            )
        )
    return blocks


def _right_answers(results: Results, settings: ReportSettings) -> list[Block]:
    winner = results.winner
    rows = _right_rows(winner, np.random.default_rng(settings.seed))
    if not len(rows):
        return []
    return [
        Heading("Right answers"),
        Gallery(
            name="right_answers",
            caption=f"{candidate_title(winner.name)}: right answers on test images, drawn at random.",
            examples=tuple(example(results, winner, row) for row in rows),
        ),
    ]


def _right_rows(candidate: Candidate, generator: np.random.Generator) -> np.ndarray:
    """Rows of right answers drawn at random, of as many different classes as possible.

    Of each class those with a heatmap come first.
    """
    predictions = candidate.predictions["test"]
    drawn = generator.permutation(np.flatnonzero(predictions.right))
    explained = np.isin(drawn, candidate.explanations.rows)
    rows = np.concatenate([drawn[explained], drawn[~explained]])
    seen: Counter[int] = Counter()
    rounds = []
    for row in rows:
        label = int(predictions.labels[row])
        rounds.append(seen[label])
        seen[label] += 1
    first = rows[np.argsort(rounds, kind="stable")][:_RIGHT_EXAMPLES]
    return first[np.argsort(predictions.labels[first], kind="stable")]
