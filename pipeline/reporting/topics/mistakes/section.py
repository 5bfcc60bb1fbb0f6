"""What goes wrong and what goes right."""

from collections.abc import Iterator

import numpy as np

from pipeline.reporting.document import (
    Block,
    Chart,
    Details,
    Gallery,
    Heading,
    Paragraph,
    Slide,
)
from pipeline.reporting.examples import example, joint_example
from pipeline.reporting.results import Candidate, ReportSettings, RunResults
from pipeline.reporting.selection import doubtful_labels, random_right_answers, surest_mistakes
from pipeline.reporting.topics.mistakes.confusions import confusions
from pipeline.reporting.topics.mistakes.figures import examples_figure
from pipeline.reporting.wording import counted, whole

_RIGHT_EXAMPLES = 12
_MOST_DOUBTFUL = 24
_IN_FIGURE = 12


def mistakes(results: RunResults, settings: ReportSettings) -> Iterator[Block]:
    winner, most = results.winner, settings.report.mistakes
    yield from confusions(results)
    folded = (
        Details(f"Mistakes of {each.title}", (_mistakes(each, results, most),)) for each in results.others
    )
    wrong = counted(winner.mistakes, "mistake") if winner.mistakes else "no mistake"
    yield Slide(
        name="mistakes",
        title=f"{winner.title} makes {wrong}",
        blocks=(Heading("Mistakes"), _mistakes(winner, results, most), *folded, *_wrong_by_all(results)),
        notes=f"Of {counted(winner.test.images, 'test image')} {winner.title} gets {whole(winner.mistakes)} "
        "wrong. Below each image stands what the network said, how sure it was, and what the label says. "
        "Where there is a second image, its colors are the heatmap of the wrong class.",
    )
    generator, explained = np.random.default_rng(settings.seed), winner.explanations.rows
    rows = random_right_answers(winner.predictions, explained, _RIGHT_EXAMPLES, generator)
    if len(rows):
        yield Heading("Right answers")
        yield Gallery(
            name="right_answers",
            caption=f"{winner.title}: right answers on test images, chosen at random.",
            examples=tuple(example(results, winner, row) for row in rows.tolist()),
        )


def _mistakes(candidate: Candidate, results: RunResults, most: int) -> Block:
    if not candidate.mistakes:
        return Paragraph(f"{candidate.title} makes no mistake on the test images.")
    rows = surest_mistakes(candidate.predictions, most)
    shown = f"the {len(rows)} that it is most sure of" if len(rows) < candidate.mistakes else "surest first"
    return Gallery(
        name=f"mistakes_{candidate.name}",
        caption=f"{candidate.title}: {counted(candidate.mistakes, 'mistake')} on the test images, {shown}.",
        examples=tuple(example(results, candidate, row) for row in rows.tolist()),
        filterable=True,
    )


def mistakes_charts(results: RunResults, settings: ReportSettings) -> list[Chart]:
    """The chosen network's most confident mistakes as one figure; none where it makes no mistake."""
    winner = results.winner
    rows = surest_mistakes(winner.predictions, min(settings.report.mistakes, _IN_FIGURE))
    if not len(rows):
        return []
    examples = [example(results, winner, row) for row in rows.tolist()]
    figure = examples_figure(examples, f"{winner.title}: the mistakes that it is most sure of")
    alt = f"The most confident mistakes of {winner.title} with the predicted and the actual class."
    return [Chart(name="mistakes", figure=figure, alt=alt, pictorial=True)]


def _wrong_by_all(results: RunResults) -> Iterator[Block]:
    """Images that all candidates get wrong; nothing where there is one candidate only."""
    together = wrong_by_all(results)
    if not together:
        return
    yield Heading("Images that every network gets wrong")
    yield Paragraph(together)
    rows = doubtful_labels([candidate.predictions for candidate in results.candidates])
    if len(rows):
        first = f" (the first {_MOST_DOUBTFUL} of {whole(len(rows))})" if len(rows) > _MOST_DOUBTFUL else ""
        yield Gallery(
            name="doubtful_labels",
            caption=f"Labels that the networks believe least{first}, with the mean of their probabilities.",
            examples=tuple(joint_example(results, row) for row in rows[:_MOST_DOUBTFUL].tolist()),
        )


def wrong_by_all(results: RunResults) -> str:
    """How many test images no candidate gets right; empty where there is one candidate only."""
    if not results.others:
        return ""
    wrong = np.logical_and.reduce([~candidate.predictions.right for candidate in results.candidates])
    count = int(wrong.sum())
    if count == 0:
        return "On every test image at least one of the networks is right."
    agreed = agreed_mistakes(results)
    text = (
        f"All of the networks are wrong on {counted(count, 'test image')}: "
        f"{'a hard one, or one' if count == 1 else 'hard ones, or ones'} with a wrong label."
    )
    if not agreed:
        return f"{text} They do not agree on another class for {'it' if count == 1 else 'any of them'}."
    return (
        f"{text} On {'it' if count == 1 else whole(agreed)} they agree on the same wrong class; where a "
        "person would side with them, the label should be corrected in the source."
    )


def agreed_mistakes(results: RunResults) -> int:
    """Test images on which all networks agree on a class other than the label; 0 with one network only."""
    first, *others = (candidate.predictions for candidate in results.candidates)
    agreed = [each.predicted == first.predicted for each in others]
    return int((np.logical_and.reduce(agreed) & ~first.right).sum()) if others else 0
