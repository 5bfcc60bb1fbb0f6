"""What goes wrong and what goes right: confusion matrices and single images."""

import numpy as np

from pipeline.reporting import statements
from pipeline.reporting.content.settings import ReportSettings
from pipeline.reporting.document import (
    Block,
    Chart,
    Details,
    Example,
    Finding,
    Gallery,
    Heading,
    Paragraph,
    Row,
    Section,
    Table,
)
from pipeline.reporting.figures.confusion import confusion_matrix_figure
from pipeline.reporting.figures.examples import examples_figure
from pipeline.reporting.results import Candidate, Results
from pipeline.reporting.wording import candidate_title, counted, percent, whole
from pipeline.scoring.scores import confusion_matrix

_PROBABILITIES = 3
_RIGHT_EXAMPLES = 12
_MOST_PAIRS = 10
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
        blocks.append(_pairs_table(pairs, name))
    blocks += [Heading("Mistakes"), *_mistakes(results, settings)]
    blocks += _right_answers(results, settings)
    return Section(anchor="mistakes", title="Right and wrong answers", blocks=tuple(blocks))


def mistakes_charts(results: Results, settings: ReportSettings) -> list[Chart]:
    """The chosen network's most confident mistakes as one figure; none where it makes no mistake."""
    rows = most_confident_mistakes(results.winner, min(settings.report.mistakes, _IN_FIGURE))
    if not len(rows):
        return []
    name = candidate_title(results.winner.name)
    examples = [_example(results, results.winner, row) for row in rows]
    return [
        Chart(
            name="mistakes",
            figure=examples_figure(examples, f"{name}: the mistakes that it is most sure of"),
            alt=f"The most confident mistakes of {name} with the predicted and the actual class.",
            caption="",
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
    wrong = np.flatnonzero(~predictions.right)
    confidence = predictions.probabilities.max(axis=1)[wrong]
    return wrong[np.argsort(-confidence, kind="stable")][:most]


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


def _mistakes(results: Results, settings: ReportSettings) -> list[Block]:
    blocks: list[Block] = []
    together = statements.wrong_by_all(results)
    if together:
        blocks.append(Paragraph(together))
    winner = results.winner
    blocks += _mistakes_of(winner, results, settings)
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
            caption=f"{name}: {counted(wrong, 'mistake')} on the test images, {shown}.",
            examples=tuple(_example(results, candidate, row) for row in rows),
        )
    ]


def _right_answers(results: Results, settings: ReportSettings) -> list[Block]:
    winner = results.winner
    rows = _right_rows(winner, np.random.default_rng(settings.seed))
    if not len(rows):
        return []
    return [
        Heading("Right answers"),
        Gallery(
            caption=f"{candidate_title(winner.name)}: right answers on test images, drawn at random.",
            examples=tuple(_example(results, winner, row) for row in rows),
        ),
    ]


def _right_rows(candidate: Candidate, generator: np.random.Generator) -> np.ndarray:
    """Rows of right answers drawn at random, of as many different classes as possible."""
    predictions = candidate.predictions["test"]
    rows = generator.permutation(np.flatnonzero(predictions.right))
    seen: dict[int, int] = {}
    rounds = []
    for row in rows:
        label = int(predictions.labels[row])
        rounds.append(seen.get(label, 0))
        seen[label] = rounds[-1] + 1
    first = rows[np.argsort(rounds, kind="stable")][:_RIGHT_EXAMPLES]
    return first[np.argsort(predictions.labels[first], kind="stable")]


def _example(results: Results, candidate: Candidate, row: int) -> Example:
    predictions = candidate.predictions["test"]
    probabilities = predictions.probabilities[row]
    order = np.argsort(-probabilities, kind="stable")[:_PROBABILITIES]
    label = int(predictions.labels[row])
    return Example(
        name=results.image_names[predictions.ids[row]],
        image=np.asarray(results.subsets["test"].images[row]),
        actual=results.class_names[label],
        predicted=results.class_names[order[0]],
        probabilities=tuple((results.class_names[i], float(probabilities[i])) for i in order),
        actual_probability=float(probabilities[label]),
    )
