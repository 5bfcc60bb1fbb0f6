"""The first screen: what was done, which model is best, by how much and how sure."""

from pipeline.reporting import statements
from pipeline.reporting.content.settings import ReportSettings
from pipeline.reporting.diagnosis import diagnose
from pipeline.reporting.document import Chart, Fact, Facts, Finding, Paragraph, Row, Section, Stack
from pipeline.reporting.figures.comparison import MeasuredAccuracy, accuracy_figure
from pipeline.reporting.results import Results
from pipeline.reporting.wording import (
    accuracy_decimals,
    candidate_title,
    percent,
    quantity,
    reference_title,
    whole,
)


def summary_section(results: Results, settings: ReportSettings) -> Section:
    confidence = settings.evaluate.confidence
    return Section(
        anchor="summary",
        title="In short",
        blocks=(
            *(Paragraph(text) for text in statements.introduction(results)),
            Finding(f"{statements.choice(results)} {statements.verdict(results, confidence)}".strip()),
            _facts(results, confidence),
            Row(
                (
                    _accuracy_chart(results, confidence),
                    Stack(tuple(Paragraph(text) for text in _reasons(results, confidence) if text)),
                )
            ),
        ),
    )


def _reasons(results: Results, confidence: float) -> list[str]:
    winner = results.winner
    images = int(winner.scores["test"]["images"])
    tests = [
        results.paired_test(winner.name, other.name) for other in results.candidates if other is not winner
    ]
    validation_images = int(winner.scores["validation"]["images"])
    diagnosis = diagnose(winner.history, winner.card.training["best_epoch"], validation_images)
    return [
        statements.test_result(winner, confidence),
        *(statements.against(test, confidence, images) for test in tests if test is not None),
        statements.against_references(results),
        statements.cost(results),
        statements.fit(diagnosis, candidate_title(winner.name)),
    ]


def _facts(results: Results, confidence: float) -> Facts:
    winner = results.winner
    test = winner.scores["test"]
    decimals = accuracy_decimals(int(test["images"]))
    interval = f"{100 * test['accuracy_low']:.{decimals}f} to {percent(test['accuracy_high'], decimals)}"
    return Facts(
        (
            Fact(candidate_title(winner.name), "chosen network", winner.card.network),
            Fact(
                percent(test["accuracy"], decimals),
                "of the test images right",
                f"{percent(confidence, 0)} interval {interval}",
            ),
            Fact(whole(int(test["images"])), "test images", f"of {whole(results.source['images'])} in all"),
            Fact(
                quantity(winner.card.parameters["total"]),
                "weights",
                f"{winner.card.training['epochs']} epochs",
            ),
        )
    )


def _accuracy_chart(results: Results, confidence: float) -> Chart:
    rows = [
        MeasuredAccuracy(
            title=candidate_title(candidate.name),
            candidate=candidate.name,
            low=candidate.scores["test"]["accuracy_low"],
            accuracy=candidate.scores["test"]["accuracy"],
            high=candidate.scores["test"]["accuracy_high"],
            validation=candidate.scores["validation"]["accuracy"],
        )
        for candidate in results.candidates
    ]
    rows += [
        MeasuredAccuracy(
            title=reference_title(name),
            candidate=None,
            low=scores["test"].get("accuracy_low", scores["test"]["accuracy"]),
            accuracy=scores["test"]["accuracy"],
            high=scores["test"].get("accuracy_high", scores["test"]["accuracy"]),
            validation=None,
        )
        for name, scores in results.references.items()
    ]
    decimals = accuracy_decimals(int(results.winner.scores["test"]["images"]))
    told = ", ".join(f"{row.title} {percent(row.accuracy, decimals)}" for row in rows)
    return Chart(
        name="accuracy",
        figure=accuracy_figure(rows, "Test images that each model gets right"),
        alt=f"Accuracy on the test images: {told}.",
        caption=(
            f"Mark: test accuracy; bar: its {percent(confidence, 0)} interval; "
            "upright line: validation accuracy."
        ),
    )
