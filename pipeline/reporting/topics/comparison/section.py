"""The models compared: scores, paired tests, confidence, classes."""

from collections.abc import Iterator

from pipeline.reporting.document import Block, Details, Table
from pipeline.reporting.results import ReportSettings, RunResults
from pipeline.reporting.topics.comparison.calibration import confidence_blocks
from pipeline.reporting.topics.comparison.classes import class_by_class, class_table
from pipeline.reporting.topics.comparison.curves import curve_blocks
from pipeline.reporting.topics.comparison.pairs import paired_tests
from pipeline.reporting.wording import accuracy_decimals, counted, percent, reference_title
from pipeline.scoring.curves import class_curves
from pipeline.scoring.intervals import Interval
from pipeline.scoring.scores import Scores


def comparison(results: RunResults, settings: ReportSettings) -> Iterator[Block]:
    confidence = settings.evaluate.confidence
    curves = {each.name: class_curves(each.predictions) for each in results.candidates}
    validation = _score_table(results, "validation", confidence)
    yield _score_table(results, "test", confidence)
    yield Details("Table: the same on the validation images", (validation,))
    if results.paired_tests:
        yield paired_tests(results, confidence)
    yield from confidence_blocks(results, settings.evaluate.calibration_bins)
    yield class_by_class(results)
    yield from curve_blocks(results, curves)
    tables = tuple(class_table(each, curves[each.name]) for each in results.candidates)
    yield Details("Tables: precision, recall, F1 and areas of every class", tables)


def _score_table(results: RunResults, subset: str, confidence: float) -> Table:
    named = [(each.title, each.test if subset == "test" else each.validation) for each in results.candidates]
    named += [(reference_title(name), scores[subset]) for name, scores in results.references.items()]
    _, first = named[0]
    decimals = accuracy_decimals(first.images)
    # Where k reaches the number of classes, it is 1 by definition.
    with_top_k = 1 < first.top_k < len(results.class_names)
    interval = f"{percent(confidence, 0)} interval"
    columns = ["Model", "Accuracy", interval, *([f"Top-{first.top_k} accuracy"] if with_top_k else [])]
    columns += ["F1 (macro)", interval, "Precision (macro)", "Recall (macro)"]
    columns += ["Log loss", "Brier score", "Calibration error"]
    return Table(
        caption=f"Scores on the {counted(first.images, f'{subset} image')} "
        "(bold: the network that was chosen)",
        columns=tuple(columns),
        rows=tuple((title, *_cells(scores, decimals, with_top_k)) for title, scores in named),
        strong=frozenset({results.winner_place}),
        separated=frozenset({len(results.candidates)}) if results.references else frozenset(),
    )


def _cells(scores: Scores, decimals: int, with_top_k: bool) -> list[str]:
    return [
        percent(scores.accuracy, decimals),
        _interval(scores.accuracy_interval, decimals),
        *([percent(scores.top_k_accuracy, decimals)] if with_top_k else []),
        percent(scores.f1_macro, decimals),
        _interval(scores.f1_macro_interval, decimals),
        percent(scores.precision_macro, decimals),
        percent(scores.recall_macro, decimals),
        f"{scores.log_loss:.3f}",
        f"{scores.brier_score:.3f}",
        percent(scores.ece, 1),
    ]


def _interval(interval: Interval, decimals: int) -> str:
    return f"{100 * interval.low:.{decimals}f} – {100 * interval.high:.{decimals}f}"
