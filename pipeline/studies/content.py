"""The page about a study: which setting to use and why, what was measured, how it was made."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.reporting.document import (
    Block,
    Chart,
    Commands,
    Definitions,
    Details,
    Document,
    Finding,
    Paragraph,
    ReportSection,
    Table,
    paragraphs,
)
from pipeline.reporting.wording import (
    compact,
    counted,
    listed,
    percent,
    points,
    probability,
    quantity,
    signed,
    whole,
)
from pipeline.scoring.intervals import Interval
from pipeline.studies.analysis import CONFIDENCE, LEVEL, Analysis, SettingResult, Verdict
from pipeline.studies.cells import DONE, FAILED, Cell
from pipeline.studies.figures import means_figure

_DECIMALS = 2
_NOTHING = "–"
_ALIKE = 0.05
"""Training times that differ by a smaller share count as the same."""
_CHEAPER = 0.9
"""Times the training time of the reference: what takes less is worth a word."""

_RULE = (
    "The rule, fixed before any result: of the settings that are better than the reference with p below "
    f"{LEVEL:.2g} after Holm's correction and have a result under every seed, the one with the highest mean "
    "validation accuracy; where there is none, the reference."
)
_HOW_TO_READ = (
    (
        "Validation accuracy",
        "Of the epoch whose weights were kept. All settings are compared on the same validation images. Test "
        "images were not looked at, so that they can still judge what is chosen here.",
    ),
    (
        f"{percent(CONFIDENCE, 0)} interval",
        "By Student's t distribution, over the seeds. It says how sure the mean over seeds is on these "
        "validation images; other images would move all settings, mostly together.",
    ),
    (
        "Difference",
        "To the reference, seed by seed: what a seed does to both cancels out.",
    ),
    (
        "p",
        "Of the paired t-test: how easily seeds alone would set two equally good settings so far apart. A "
        "dash: not tested, as there are fewer than two seeds, or as the differences are all equal.",
    ),
    (
        "p (Holm)",
        "Corrected for the number of comparisons (Holm 1979): among many settings one looks good by luck. If "
        f"none differs from the reference, the chance that any is below {LEVEL:.2g} is at most {LEVEL:.2g}.",
    ),
    (
        "Not significant",
        "Is not the same as equal. With few seeds only large differences can be shown.",
    ),
    (
        "Training time",
        "Median over the seeds, of the training alone; only times of one machine that did nothing else can "
        "be compared. Core seconds are threads times seconds: at most so much of the processor was used.",
    ),
    (
        "Failed",
        "A training that broke off, for example as its loss was no longer finite. It is a result: the "
        "setting is not recommended, as the mean of the others would leave out what went wrong.",
    ),
)


@dataclass(frozen=True)
class Making:
    """How the results were made.

    Attributes:
      command: what writes this page.
      processors: that the trainings ran on.
      commits: that were checked out then.
      versions: of Python and the libraries that decide a result.
    """

    command: str
    processors: Sequence[str]
    commits: Sequence[str]
    versions: Mapping[str, str]


def study_document(analysis: Analysis, making: Making) -> Document:
    """The page; the same results give the same page."""
    study = analysis.study
    sections = (
        ReportSection("answer", "What to use", tuple(_answer(analysis))),
        ReportSection("settings", "Settings", (_chart(analysis), _accuracies(analysis), _costs(analysis))),
        ReportSection("trainings", "Trainings", (Details("Table: every training", (_trainings(analysis),)),)),
        ReportSection("reading", "How to read this", (Definitions(_HOW_TO_READ),)),
        ReportSection("making", "How it was made", tuple(_making(analysis, making))),
    )
    return Document(title=study.title, subtitle=study.question, sections=sections)


def recommendation(analysis: Analysis) -> str:
    """Which setting to use, and why, in a sentence or two."""
    reference, recommended = analysis.reference, analysis.recommended
    match analysis.verdict:
        case Verdict.REFERENCE_OPEN:
            return f"No recommendation yet: the reference {reference.name} was not run under all seeds."
        case Verdict.REFERENCE_FAILED:
            return (
                f"No recommendation: the reference {reference.name} has failed under "
                f"{_seeds(reference.failed)}, and there is nothing to compare the others with. "
                "Choose another one."
            )
        case Verdict.REFERENCE:
            return f"Stay with {reference.name}: no setting is better by more than chance explains."
        case Verdict.BETTER:
            assert recommended is not None
            text = (
                f"Use {recommended.name}: it is better than {reference.name} by more than chance explains "
                f"({_evidence(recommended)})."
            )
            also = [each.name for each in analysis.others if each.is_better and each is not recommended]
            if not also:
                return text
            verb, means = ("are", "lower means") if len(also) > 1 else ("is", "a lower mean")
            return f"{text} So {verb} {listed(also)}, with {means}."


def _answer(analysis: Analysis) -> Iterator[Block]:
    yield Finding(recommendation(analysis))
    yield from paragraphs(_still_open(analysis), _cost(analysis), _cheaper(analysis), _worse(analysis))
    yield from paragraphs(*(_failures(setting) for setting in analysis.settings if setting.failed))
    yield Paragraph(_RULE)
    yield from paragraphs(_power(analysis))


def _still_open(analysis: Analysis) -> str:
    if not analysis.open:
        return ""
    left = f"{len(analysis.open)} of {counted(len(analysis.cells), 'training')}"
    return f"{left} were not run yet, and this may change. The same command goes on with them."


def _cost(analysis: Analysis) -> str:
    """What the recommended setting costs; empty for the reference."""
    chosen, reference = analysis.recommended, analysis.reference
    if chosen is None or chosen is reference or chosen.seconds is None or not reference.seconds:
        return ""
    ratio = chosen.seconds / reference.seconds
    times = "about" if abs(ratio - 1.0) < _ALIKE else f"{ratio:.2g} times"
    return f"It takes {times} the training time of {reference.name}."


def _cheaper(analysis: Analysis) -> str:
    """Settings that nobody could tell from the reference and that train faster."""
    reference = analysis.reference
    if reference.seconds is None:
        return ""
    alike = [each for each in analysis.others if each.complete and not each.is_better and not each.is_worse]
    found = [
        f"{each.name} ({each.seconds / reference.seconds:.2g} times its training time; {_evidence(each)})"
        for each in alike
        if each.seconds is not None and each.seconds < _CHEAPER * reference.seconds
    ]
    return f"Cheaper than {reference.name}, and not shown to be worse: {listed(found)}." if found else ""


def _worse(analysis: Analysis) -> str:
    names = [each.name for each in analysis.others if each.is_worse]
    if not names:
        return ""
    return f"Worse than {analysis.reference.name} by more than chance explains: {listed(names)}."


def _failures(setting: SettingResult) -> str:
    reasons = list(dict.fromkeys(cell.reason for cell in setting.failed if cell.reason))
    why = f": {'; '.join(reasons)}" if reasons else ""
    return f"{setting.name} has failed under {_seeds(setting.failed)}{why}"


def _power(analysis: Analysis) -> str:
    """What the seeds could have shown at all."""
    least = analysis.hardest_step
    if least is None:
        return ""
    seeds = len(analysis.study.seeds)
    few = " That is little power: more seeds would show more." if seeds < 5 else ""
    return (
        f"With {counted(seeds, 'seed')} and {counted(len(analysis.others), 'comparison')}, and as these "
        f"trainings scatter, a mean difference has to exceed about {points(least, _DECIMALS).lstrip('+')} to "
        f"pass the hardest step of the correction. Smaller ones may be real and remain unseen.{few}"
    )


def _evidence(setting: SettingResult) -> str:
    found, corrected = setting.difference, setting.corrected_p
    if found is None:
        return "not tested"
    test = "not tested" if corrected is None else f"{probability(corrected)} after correction"
    interval = f"{percent(CONFIDENCE, 0)} interval {_interval_of_points(found.estimate.interval)}"
    return f"{points(found.estimate.mean, _DECIMALS)}, {interval}, {test}"


# --- tables and chart -------------------------------------------------------------------------------


def _chart(analysis: Analysis) -> Chart:
    told = [
        f"{each.name} {percent(each.mean, _DECIMALS)}" for each in analysis.settings if each.mean is not None
    ]
    return Chart(
        name="means",
        figure=means_figure(analysis),
        alt=f"Mean validation accuracy: {', '.join(told) or 'none yet'}.",
        caption=f"Mark: mean over seeds (diamond: recommended, square: reference); bar: its "
        f"{percent(CONFIDENCE, 0)} interval, which may go on beyond the chart; dots: single seeds; dashed: "
        "mean of the reference.",
    )


def _accuracies(analysis: Analysis) -> Table:
    interval = f"{percent(CONFIDENCE, 0)} interval"
    return Table(
        caption="Validation accuracy in %, over the seeds, and differences to "
        f"{analysis.reference.name} in points. Bold: recommended.",
        columns=(
            *("setting", "seeds", "mean", "standard deviation", interval),
            *("difference", f"{interval} of it", "p", "p (Holm)"),
        ),
        rows=tuple(map(_accuracy_row, analysis.settings)),
        strong=_recommended(analysis),
    )


def _accuracy_row(setting: SettingResult) -> tuple[str, ...]:
    found, difference = setting.estimate, setting.difference
    return (
        setting.name,
        f"{len(setting.done)} of {len(setting.cells)}",
        _NOTHING if setting.mean is None else _of_hundred(setting.mean),
        _NOTHING if found is None else _of_hundred(found.deviation),
        _NOTHING
        if found is None
        else f"{_of_hundred(found.interval.low)} to {_of_hundred(found.interval.high)}",
        _NOTHING if difference is None else _points(difference.estimate.mean),
        _NOTHING if difference is None else _interval_of_points(difference.estimate.interval),
        p_text(None if difference is None else difference.p_value),
        p_text(setting.corrected_p),
    )


def _costs(analysis: Analysis) -> Table:
    rows = (
        (
            setting.name,
            _number(setting.seconds, "{:,.1f}"),
            _number(setting.core_seconds, "{:,.0f}"),
            _number(setting.images_per_second, "{:,.0f}"),
            _NOTHING if setting.parameters is None else quantity(setting.parameters),
        )
        for setting in analysis.settings
    )
    return Table(
        caption="What a training costs: medians over the seeds.",
        columns=("setting", "seconds", "core seconds", "images per second", "parameters"),
        rows=tuple(rows),
        strong=_recommended(analysis),
    )


def _recommended(analysis: Analysis) -> frozenset[int]:
    """Its row, where there is one."""
    rows = [place for place, each in enumerate(analysis.settings) if each is analysis.recommended]
    return frozenset(rows)


def _trainings(analysis: Analysis) -> Table:
    return Table(
        caption="Every training, as in results.csv. The loss is the fitted one, label smoothing included.",
        columns=(
            *("setting", "seed", "result", "accuracy", "loss", "epochs", "seconds", "images/s"),
            *("parameters", "experiment"),
        ),
        rows=tuple(map(_training_row, analysis.cells)),
        text_columns=frozenset({0, 2, 9}),
    )


def _training_row(cell: Cell) -> tuple[str, ...]:
    result = "not run yet"
    if cell.status in (DONE, FAILED):
        result = f"{cell.status}: {cell.reason}" if cell.reason else cell.status
    accuracy = cell.validation_accuracy
    return (
        cell.setting,
        str(cell.seed),
        result,
        _NOTHING if accuracy is None else percent(accuracy, _DECIMALS),
        _number(cell.validation_loss, "{:.4f}"),
        _number(cell.epochs, "{:,}"),
        _number(cell.seconds, "{:,.1f}"),
        _number(cell.images_per_second, "{:,.0f}"),
        _number(cell.parameters, "{:,}"),
        cell.experiment,
    )


def _making(analysis: Analysis, making: Making) -> Iterator[Block]:
    study = analysis.study
    yield Commands(((making.command, "runs what is missing and writes this page again"),))
    threads = sorted({cell.threads for cell in analysis.cells})
    versions = [f"{name} {version}" for name, version in making.versions.items()]
    rows = [
        ("trained", study.candidate),
        ("seeds", compact(study.seeds)),
        ("processor", listed(making.processors) or _NOTHING),
        ("threads", listed([whole(each) for each in threads])),
        ("versions", ", ".join(versions) or _NOTHING),
        ("commit", listed(making.commits) or _NOTHING),
    ]
    yield Table("Machine and software", ("item", "value"), tuple(rows), text_columns=frozenset({0, 1}))
    if len(making.processors) > 1:
        yield Paragraph("The trainings ran on different processors: their times cannot be compared.")
    settings = ((name, _shown(values)) for name, values in study.settings.items())
    yield Table(
        caption="What each setting puts over the base",
        columns=("setting", "params"),
        rows=tuple(settings),
        text_columns=frozenset({0, 1}),
    )
    yield Table(
        caption="The base: what all settings put over params.yaml",
        columns=("param", "value"),
        rows=tuple((key, compact(value)) for key, value in study.base.items()) or ((_NOTHING, ""),),
        text_columns=frozenset({0, 1}),
    )


def _shown(values: Mapping[str, Any]) -> str:
    return "; ".join(f"{key} = {compact(value)}" for key, value in values.items()) or "nothing"


# --- numbers ----------------------------------------------------------------------------------------


def p_text(p_value: float | None) -> str:
    """A p-value in a table; a dash where there is none."""
    if p_value is None:
        return _NOTHING
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _number(value: float | None, form: str) -> str:
    return _NOTHING if value is None else form.format(value)


def _of_hundred(share: float) -> str:
    return f"{100 * share:.{_DECIMALS}f}"


def _points(difference: float) -> str:
    return signed(100 * difference, _DECIMALS)


def _interval_of_points(interval: Interval) -> str:
    return f"{_points(interval.low)} to {_points(interval.high)}"


def _seeds(cells: Sequence[Cell]) -> str:
    return f"seed{'s' if len(cells) > 1 else ''} {listed([str(cell.seed) for cell in cells])}"
