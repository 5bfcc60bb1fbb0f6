"""The models beside each other: scores, paired tests, calibration, classes."""

import re
from collections.abc import Mapping

import numpy as np

from pipeline.reporting import observations, statements
from pipeline.reporting.content.settings import ReportSettings
from pipeline.reporting.document import Block, Chart, Details, Heading, Paragraph, Row, Section, Table
from pipeline.reporting.figures.calibration import FEW_IMAGES, confidence_figure, reliability_figure
from pipeline.reporting.figures.comparison import per_class_figure
from pipeline.reporting.figures.curves import (
    NAMED_CLASSES,
    false_alarm_limit,
    precision_recall_figure,
    roc_figure,
)
from pipeline.reporting.figures.data import MOST_NAMED_CLASSES
from pipeline.reporting.figures.style import candidate_color
from pipeline.reporting.results import Candidate, PairedTest, Results
from pipeline.reporting.wording import (
    accuracy_decimals,
    area_text,
    candidate_title,
    counted,
    percent,
    points,
    probability,
    reference_title,
    whole,
)
from pipeline.scoring.calibration import calibrate
from pipeline.scoring.curves import ClassCurves, class_curves

_TOP_K = re.compile(r"top_(\d+)_accuracy")


def comparison_section(results: Results, settings: ReportSettings) -> Section:
    bins = settings.evaluate.calibration_bins
    curves = {each.name: class_curves(each.predictions["test"]) for each in results.candidates}
    blocks: list[Block] = [
        _score_table(results, "test", settings.evaluate.confidence),
        Details(
            "Table: the same on the validation images",
            (_score_table(results, "validation", settings.evaluate.confidence),),
        ),
    ]
    if results.paired_tests:
        blocks += [
            Heading("Is the difference more than chance?"),
            *_paired(results, settings.evaluate.confidence),
        ]
    blocks += [
        Heading("Does confidence mean what it says?"),
        Paragraph(
            "Of all answers given with 80 % confidence, 80 % should be right; then the points lie on the "
            "dashed line. "
            "Confidence is the probability of the predicted class. "
            f"Hollow points stand for fewer than {FEW_IMAGES} images and are mostly chance."
        ),
        Row(tuple(_reliability_chart(candidate, bins) for candidate in results.candidates)),
        Heading("Is it less sure where it is wrong?"),
        Paragraph(
            "Confidence is of use where it warns: the further apart right and wrong answers lie, the more "
            f"mistakes can be held back by asking for confidence. {observations.rejection(results.winner)}"
        ),
        Row(tuple(_confidence_chart(candidate) for candidate in results.candidates)),
        Heading("Class by class"),
        Row((_class_chart(results), Paragraph(statements.classes(results.winner)))),
        *_separation(results, curves),
        Details(
            "Tables: precision, recall, F1 and areas of every class",
            tuple(_class_table(candidate, curves[candidate.name]) for candidate in results.candidates),
        ),
    ]
    return Section(anchor="comparison", title="The models compared", blocks=tuple(blocks))


def _score_table(results: Results, subset: str, confidence: float) -> Table:
    images = int(results.winner.scores[subset]["images"])
    top_k = _top_k(results, subset)
    named = [(candidate_title(candidate.name), candidate.scores[subset]) for candidate in results.candidates]
    named += [(reference_title(name), scores[subset]) for name, scores in results.references.items()]
    decimals = accuracy_decimals(images)
    interval = f"{percent(confidence, 0)} interval"
    columns = ["Model", "Accuracy", interval, *(title for title, _ in top_k), "F1 (macro)", interval]
    columns += ["Precision (macro)", "Recall (macro)", "Log loss", "Brier score", "Calibration error"]
    rows = tuple(
        (
            title,
            percent(scores["accuracy"], decimals),
            _interval(scores, "accuracy", decimals),
            *(_share(scores, key, decimals) for _, key in top_k),
            _share(scores, "f1_macro", decimals),
            _interval(scores, "f1_macro", decimals),
            _share(scores, "precision_macro", decimals),
            _share(scores, "recall_macro", decimals),
            _number(scores, "log_loss"),
            _number(scores, "brier_score"),
            _share(scores, "ece", 1),
        )
        for title, scores in named
    )
    place = next(i for i, candidate in enumerate(results.candidates) if candidate is results.winner)
    return Table(
        caption=f"Scores on the {counted(images, f'{subset} image')} (bold: the network that was chosen)",
        columns=tuple(columns),
        rows=rows,
        numeric=(False, *(True for _ in columns[1:])),
        strong=frozenset({place}),
        separated=frozenset({len(results.candidates)}) if results.references else frozenset(),
    )


def _top_k(results: Results, subset: str) -> list[tuple[str, str]]:
    """Title and key of top-k accuracy; none where k reaches the number of classes, as it is 1 then."""
    for key in results.winner.scores[subset]:
        match = _TOP_K.fullmatch(key)
        if match and 1 < int(match[1]) < len(results.class_names):
            return [(f"Top-{match[1]} accuracy", key)]
    return []


def _share(scores: dict[str, float], key: str, decimals: int) -> str:
    return percent(scores[key], decimals) if key in scores else "–"


def _number(scores: dict[str, float], key: str) -> str:
    return f"{scores[key]:.3f}" if key in scores else "–"


def _interval(scores: dict[str, float], key: str, decimals: int) -> str:
    if f"{key}_low" not in scores:
        return "–"
    return f"{100 * scores[f'{key}_low']:.{decimals}f} – {100 * scores[f'{key}_high']:.{decimals}f}"


def _paired(results: Results, confidence: float) -> list[Block]:
    images = int(results.winner.scores["test"]["images"])
    tests = results.paired_tests
    blocks: list[Block] = [
        Paragraph(
            "All models answered for the same test images, so only the images count on which exactly one "
            "of two is "
            "right. McNemar's exact test asks how easily chance alone would divide them so unevenly: "
            "the smaller p, the less easily."
        ),
        _paired_table(tests, images, confidence),
    ]
    if len(tests) > 1:
        blocks.append(
            Paragraph(
                f"The p-values are not adjusted for the {len(tests)} comparisons; to be safe, "
                f"multiply each by {len(tests)}."
            )
        )
    return blocks


def _paired_table(tests: tuple[PairedTest, ...], images: int, confidence: float) -> Table:
    decimals = accuracy_decimals(images)
    return Table(
        caption=f"Pairs of models on the {counted(images, 'test image')}",
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
                whole(test.only_first_right),
                whole(test.only_second_right),
                points(test.difference, decimals),
                f"{points(test.low, decimals)} to {points(test.high, decimals)}",
                probability(test.p_value),
                _verdict(test, confidence),
            )
            for test in tests
        ),
        numeric=(False, True, True, True, True, True, False),
    )


def _verdict(test: PairedTest, confidence: float) -> str:
    if not statements.is_significant(test, confidence):
        return "not decided"
    return f"{candidate_title(test.first if test.difference > 0 else test.second)} is better"


def _reliability_chart(candidate: Candidate, bins: int) -> Chart:
    name = candidate_title(candidate.name)
    calibration = calibrate(candidate.predictions["test"], bins)
    told = ", ".join(
        f"{percent(confidence, 0)} confident, {percent(accuracy, 0)} right"
        for confidence, accuracy in zip(calibration.confidence, calibration.accuracy, strict=True)
    )
    ece = f"{100 * candidate.scores['test']['ece']:.1f}"
    return Chart(
        name=f"calibration_{candidate.name}",
        figure=reliability_figure(
            calibration, candidate_color(candidate.name), f"{name}: off by {ece} points"
        ),
        alt=f"Reliability diagram of {name}: {told}.",
        caption=statements.calibration(candidate),
    )


def _confidence_chart(candidate: Candidate) -> Chart:
    predictions = candidate.predictions["test"]
    told = observations.confidences(candidate)
    return Chart(
        name=f"confidence_{candidate.name}",
        figure=confidence_figure(predictions, f"{candidate_title(candidate.name)}: right and wrong"),
        alt=f"Histograms of confidence, of right answers above and of wrong ones below. {told}",
        caption=told,
    )


def _separation(results: Results, curves: Mapping[str, tuple[ClassCurves, ...]]) -> list[Block]:
    """Precision-recall and ROC curves; nothing where all test images are of one class."""
    winner = results.winner
    if not curves[winner.name]:
        return []
    blocks: list[Block] = [
        Heading("Each class against all others"),
        Paragraph(
            "Instead of the most probable class one may ask for a class: give me all images whose "
            "probability of it exceeds a threshold. A low threshold finds more of the class and more of "
            f"the others too. {observations.separation(winner, curves[winner.name], results.class_names)}"
        ),
        Row(_curve_charts(results, winner, curves[winner.name])),
    ]
    for other in results.candidates:
        if other is not winner:
            charts = Row(_curve_charts(results, other, curves[other.name]))
            blocks.append(Details(f"Curves of {candidate_title(other.name)}", (charts,)))
    return blocks


def _curve_charts(
    results: Results, candidate: Candidate, curves: tuple[ClassCurves, ...]
) -> tuple[Chart, Chart]:
    name = candidate_title(candidate.name)
    told = observations.separation(candidate, curves, results.class_names)
    limit = false_alarm_limit(curves)
    colored = " In color: the classes that are hardest to separate." if len(curves) > NAMED_CLASSES else ""
    part = f"Only the first {percent(limit, 0)} of false alarms are drawn. " if limit < 1.0 else ""
    return (
        Chart(
            name=f"precision_recall_{candidate.name}",
            figure=precision_recall_figure(curves, results.class_names, f"{name}: precision and recall"),
            alt=f"Precision-recall curves. {told}",
            caption=f"The nearer to the upper right corner, the better.{colored}",
        ),
        Chart(
            name=f"roc_{candidate.name}",
            figure=roc_figure(curves, results.class_names, f"{name}: ROC curves"),
            alt=f"ROC curves. {told}",
            caption=f"{part}The nearer to the upper left corner, the better.{colored}",
        ),
    )


def _class_chart(results: Results) -> Chart:
    winner = results.winner
    worst_first = np.argsort([result.f1 for result in winner.classes], kind="stable")
    chosen = worst_first[:MOST_NAMED_CLASSES]
    if len(chosen) == len(worst_first):
        chosen = np.arange(len(winner.classes))
        title = f"F1 of the {counted(len(chosen), 'class', 'classes')}"
        told = f"F1 of every class, of {candidate_title(winner.name)}"
    else:
        title = f"The {len(chosen)} hardest of the {len(worst_first)} classes"
        told = f"F1 of the {len(chosen)} classes that {candidate_title(winner.name)} does worst on"
    return Chart(
        name="per_class",
        figure=per_class_figure(
            {
                candidate.name: np.array([candidate.classes[label].f1 for label in chosen])
                for candidate in results.candidates
            },
            [winner.classes[label].name for label in chosen],
            title,
        ),
        alt=f"{told}: "
        + ", ".join(f"{winner.classes[i].name} {percent(winner.classes[i].f1)}" for i in chosen)
        + ".",
        caption="F1 is high only where few images of the class are missed and few others are taken for it.",
    )


def _class_table(candidate: Candidate, curves: tuple[ClassCurves, ...]) -> Table:
    areas = {each.label: (area_text(each.average_precision), area_text(each.roc_area)) for each in curves}
    return Table(
        caption=f"{candidate_title(candidate.name)} on the test images",
        columns=("Class", "Precision", "Recall", "F1", "Average precision", "ROC area", "Images"),
        rows=tuple(
            (
                result.name,
                percent(result.precision),
                percent(result.recall),
                percent(result.f1),
                *areas.get(label, ("–", "–")),
                whole(result.support),
            )
            for label, result in enumerate(candidate.classes)
        ),
        numeric=(False, *(True for _ in range(6))),
    )
