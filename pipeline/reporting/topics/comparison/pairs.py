"""Two candidates at a time: is the difference between them more than chance?"""

from pipeline.reporting.document import Heading, Paragraph, Slide, Table, paragraphs
from pipeline.reporting.results import RunResults
from pipeline.reporting.wording import candidate_title, counted, percent, points, probability, whole
from pipeline.scoring.intervals import Interval
from pipeline.scoring.paired import Comparison, ModelComparison

_QUESTION = "Is the difference more than chance?"


def paired_tests(results: RunResults, confidence: float) -> Slide:
    """`confidence` is that of the intervals, and 1 minus the level of significance."""
    tests, decimals = results.paired_tests, results.winner.decimals
    explanation = (
        "All networks answered for the same test images, so only those images count on which exactly one of "
        "two networks is right. McNemar's exact test asks how easily chance alone would divide these images "
        "so unevenly: the smaller p, the less easily."
    )
    if len(tests) > 1:
        explanation += (
            f" The p-values are not adjusted for the {len(tests)} comparisons; to be safe, multiply each by "
            f"{len(tests)}."
        )
    return Slide(
        name="pairs",
        title=_QUESTION,
        blocks=(
            Heading(_QUESTION),
            Paragraph(explanation, spoken=True),
            *paragraphs(*(against(test, confidence, decimals) for test in results.tests_of_winner)),
            _table(results, confidence),
        ),
    )


def against(test: ModelComparison, confidence: float, decimals: int) -> str:
    """The first candidate of a paired test compared with the second on the test images."""
    found = test.comparison
    first, second = candidate_title(test.first), candidate_title(test.second)
    if found.accuracy_difference >= 0 or not found.is_significant(confidence):
        return which_is_better(found, first, second, confidence, decimals)
    better = which_is_better(found.reversed(), second, first, confidence, decimals)
    return (
        f"{better} The choice stays, as it was made on the validation images: choosing by test images would "
        "make their figures too good."
    )


def which_is_better(found: Comparison, first: str, other: str, confidence: float, decimals: int) -> str:
    """A sentence on two models; one that is better beyond chance has to be `first`."""
    if found.only_first_right + found.only_second_right == 0:
        return f"{first} and {other} are right and wrong on the very same test images."
    evidence = (
        f"{points(found.accuracy_difference, decimals)}, {percent(confidence, 0)} interval "
        f"{_interval(found.interval, decimals)}, {probability(found.p_value)}"
    )
    if not found.is_significant(confidence):
        text = f"The test images do not decide between {first} and {other} ({evidence})."
        if found.interval.low <= 0 <= found.interval.high:
            return text
        differing = counted(found.only_first_right + found.only_second_right, "image")
        return (
            f"{text} The interval leaves out 0, but is too narrow to go by where {differing} tell them apart."
        )
    return f"{first} is better than {other} on the test images by more than chance explains ({evidence})."


def _interval(interval: Interval, decimals: int) -> str:
    return f"{points(interval.low, decimals)} to {points(interval.high, decimals)}"


def _table(results: RunResults, confidence: float) -> Table:
    decimals = results.winner.decimals
    return Table(
        caption=f"Pairs of models on the {counted(results.winner.test.images, 'test image')}",
        columns=(
            "Pair",
            "Only first right",
            "Only second right",
            "Difference",
            f"{percent(confidence, 0)} interval",
            "McNemar",
            "Verdict",
        ),
        rows=tuple(
            (
                f"{candidate_title(test.first)} – {candidate_title(test.second)}",
                whole(test.comparison.only_first_right),
                whole(test.comparison.only_second_right),
                points(test.comparison.accuracy_difference, decimals),
                _interval(test.comparison.interval, decimals),
                probability(test.comparison.p_value),
                _verdict(test, confidence),
            )
            for test in results.paired_tests
        ),
        text_columns=frozenset({0, 6}),
    )


def _verdict(test: ModelComparison, confidence: float) -> str:
    if not test.comparison.is_significant(confidence):
        return "not decided"
    return (
        f"{candidate_title(test.first if test.comparison.accuracy_difference > 0 else test.second)} is better"
    )
