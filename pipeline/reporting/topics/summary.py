"""The first screen: what was done, which model is best, by how much and how sure."""

from collections.abc import Iterator

from pipeline.reporting.document import (
    Block,
    Fact,
    Facts,
    Finding,
    Paragraph,
    Row,
    Slide,
    Stack,
    paragraphs,
)
from pipeline.reporting.results import ReportSettings, RunResults
from pipeline.reporting.topics.comparison.accuracy import (
    accuracy_chart,
    against_references,
    choice,
    on_test_images,
    verdict,
)
from pipeline.reporting.topics.comparison.pairs import against
from pipeline.reporting.topics.data.section import first_images
from pipeline.reporting.topics.networks.section import cost
from pipeline.reporting.topics.training.overfitting import diagnosis_of, fit_sentence
from pipeline.reporting.wording import counted, percent, quantity, whole

_NUMBER_WORDS = ("No", "One", "Two", "Three", "Four", "Five")


def summary(results: RunResults, settings: ReportSettings) -> Iterator[Block]:
    winner, confidence = results.winner, settings.evaluate.confidence
    yield Slide(
        name="problem",
        title=f"Which of {len(results.class_names)} classes does an image show?",
        blocks=paragraphs(*introduction(results)),
        visual=first_images(results),
    )
    yield Paragraph(
        "The report goes from the images and the networks to how they learned, what they get right and "
        "wrong, where they look, and what to try next. Terms are explained at the end."
    )
    accuracy = percent(winner.test.accuracy, winner.decimals)
    yield Slide(
        name="accuracy",
        title=f"{winner.title} is right on {accuracy} of the test images",
        blocks=(
            Finding(f"{choice(results)} {verdict(results, confidence)}".strip()),
            _facts(results, confidence),
            Row((accuracy_chart(results, confidence), Stack(_reasons(results, confidence)))),
        ),
        notes=f"The point is the share of test images that a network gets right, the bar its "
        f"{percent(confidence, 0)} interval: where the figure could have come out with other test images. "
        "The axis does not begin at zero.",
    )


def introduction(results: RunResults) -> list[str]:
    """What was done, for somebody who has never trained a network."""
    train, validation, test = (
        counted(len(results.subsets[name]), noun)
        for name, noun in (("train", "labeled image"), ("validation", "image"), ("test", "image"))
    )
    count = len(results.candidates)
    return [
        f"{_NUMBER_WORDS[count]} neural network{'s' if count > 1 else ''} learned to say to which of "
        f"{len(results.class_names)} classes an image belongs. Each was shown {train} again and again and "
        "adjusted its weights so that its answers came closer to the labels.",
        "What counts is how a network does on images that it has not learned from. "
        f"{validation}, the validation subset, were used to watch the training and to choose among the "
        f"networks. {test}, the test subset, were kept apart until the end: no choice was based on them, so "
        "their figures are the ones to believe.",
    ]


def _reasons(results: RunResults, confidence: float) -> tuple[Paragraph, ...]:
    """What stands beside the accuracies; of slides the speaker tells the rest."""
    winner = results.winner
    spoken = (
        *(against(test, confidence, winner.decimals) for test in results.tests_of_winner),
        cost(results),
        fit_sentence(diagnosis_of(winner, results), winner.title),
    )
    return (
        *paragraphs(on_test_images(winner, confidence), against_references(results)),
        *(Paragraph(text, spoken=True) for text in spoken),
    )


def _facts(results: RunResults, confidence: float) -> Facts:
    winner, test = results.winner, results.winner.test
    low, high = test.accuracy_interval.low, percent(test.accuracy_interval.high, winner.decimals)
    interval = f"{percent(confidence, 0)} interval {100 * low:.{winner.decimals}f} to {high}"
    weights, epochs = quantity(winner.card.parameters.total), f"{winner.card.training.epochs} epochs"
    return Facts(
        (
            Fact(winner.title, "chosen network", winner.card.network),
            Fact(percent(test.accuracy, winner.decimals), "of the test images right", interval),
            Fact(whole(test.images), "test images", f"of {whole(results.source.images)} in all"),
            Fact(weights, "weights", epochs),
        )
    )
