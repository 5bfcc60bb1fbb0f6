"""What to make of it: strengths, limits, what to try next, and how to use the network.

Each entry is a few words and the reason for them; one that the figures do not give rise to is left out.
Only the limits have entries that are true of every run.
"""

from collections.abc import Iterator

from pipeline.params.augmentation import AugmentationParams
from pipeline.reporting.document import (
    Block,
    Commands,
    Definitions,
    Heading,
    Paragraph,
    Slide,
)
from pipeline.reporting.results import Candidate, ReportSettings, RunResults
from pipeline.reporting.topics.comparison.calibration import is_as_sure_as_right, label_smoothing
from pipeline.reporting.topics.mistakes.section import agreed_mistakes
from pipeline.reporting.topics.networks.section import cost, times_lighter
from pipeline.reporting.topics.training.overfitting import Fit, diagnosis_of
from pipeline.reporting.topics.tuning.effects import comparable_trials
from pipeline.reporting.wording import candidate_title, compact, counted, percent, quoted, several, whole

Entry = tuple[str, str]

_WELL_CALIBRATED = 0.03
_POORLY_CALIBRATED = 0.05
"""Expected calibration error, a share of 1."""

_RELIABLE = 0.95
_UNRELIABLE = 0.8
"""Recall of a class."""

_WIDE_INTERVAL = 0.02
"""Of the test accuracy; half of it is the error that is to be expected."""

_FEW_IMAGES = 30
"""Test images of a class: one of them is more than three points of its recall."""

_UNEVEN = 3.0
"""The largest class holds so many times the training images of the smallest."""

_MOST_NAMED = 5


def outlook(results: RunResults, settings: ReportSettings) -> Iterator[Block]:
    if found := tuple(strengths(results)):
        yield Heading(f"What speaks for {results.winner.title}")
        yield Definitions(found)
    steps = tuple(next_steps(results, settings.augmentation))
    told = " ".join(f"{step}: {reason}" for step, reason in steps)
    yield Slide(
        name="limits",
        title="Its limits",
        blocks=(Heading("Its limits"), Definitions(tuple(limits(results, settings.evaluate.confidence)))),
        notes="Before the network is used, it should be tried on images from the place where it will be "
        f"used. What to try next: {told} These are its limits.",
    )
    yield Heading("What to try next")
    yield Definitions(steps)
    yield _use()


def strengths(results: RunResults) -> Iterator[Entry]:
    """What speaks for the chosen network."""
    winner, test = results.winner, results.winner.test
    best = max((scores["test"].accuracy for scores in results.references.values()), default=None)
    if best is not None and test.accuracy_interval.low > best:
        wrong = 1.0 - test.accuracy
        fewer = f", {(1.0 - best) / wrong:.1f} times fewer mistakes" if wrong else ""
        own, other = percent(test.accuracy, winner.decimals), percent(best, winner.decimals)
        yield (
            "It beats the simple references",
            f"{own} of the test images right, against {other} of the best simple reference{fewer}.",
        )
    seen = [result for result in winner.classes if result.support > 0]
    reliable = [quoted(result.name) for result in seen if result.recall >= _RELIABLE]
    if reliable:
        which = counted(len(reliable), "class is", "classes are")
        which = "Every class is" if len(reliable) == len(seen) else which
        yield (
            f"{which} found at {percent(_RELIABLE, 0)} or more",
            f"Of {several(reliable, _MOST_NAMED)} it recognizes at least {percent(_RELIABLE, 0)} of the test "
            "images.",
        )
    if test.ece <= _WELL_CALIBRATED:
        yield "Its confidence can be taken at face value", f"{_calibration_gap(winner)}."
    diagnosis = diagnosis_of(winner, results)
    if diagnosis.fit is Fit.BALANCED:
        yield (
            "It does about as well on images that it has not learned from",
            f"{percent(diagnosis.train_accuracy)} of the training images right, "
            f"{percent(diagnosis.validation_accuracy)} of the validation images.",
        )
    if results.others and all(times_lighter(each, winner) <= 1.0 for each in results.others):
        yield "No other network is lighter", cost(results)


def limits(results: RunResults, confidence: float) -> Iterator[Entry]:
    """What the figures do not show, and where the chosen network is weak."""
    winner, test = results.winner, results.winner.test
    yield (
        f"It knows {whole(len(results.class_names))} classes and no others",
        "Whatever image it is given, it answers with one of these classes. It does so for an image of "
        "something else too, now and then with high confidence.",
    )
    yield (
        "The test images are from the same source as the training images",
        "Other cameras, other places or another way of labeling were not tested. Expect less there, and "
        "measure before relying on it.",
    )
    yield (
        "Each network was trained once",
        "The intervals tell what other test images would have given, not what another training would have. "
        "Only a repetition with other seeds shows that spread.",
    )
    weak = [result for result in winner.classes if result.support > 0 and result.recall < _UNRELIABLE]
    if weak:
        weak.sort(key=lambda result: result.recall)
        names = several([f"{quoted(each.name)} ({percent(each.recall, 0)})" for each in weak], _MOST_NAMED)
        which = counted(len(weak), "class is", "classes are")
        yield f"{which} found at less than {percent(_UNRELIABLE, 0)}", f"Recall of {names}."
    few = [result for result in winner.classes if result.support < _FEW_IMAGES]
    chance = f"With fewer than {_FEW_IMAGES}, a class's figures are mostly chance"
    if few and len(few) == len(winner.classes):
        most = whole(max(result.support for result in few))
        yield "The classes have few test images", f"{chance}, and none has more than {most}."
    elif few:
        names = several([f"{quoted(each.name)} ({whole(each.support)})" for each in few], _MOST_NAMED)
        yield "Some classes have few test images", f"{chance}: {names}."
    width = test.accuracy_interval.high - test.accuracy_interval.low
    if width > _WIDE_INTERVAL:
        yield (
            "Its accuracy is known only roughly",
            f"With {counted(test.images, 'test image')} the {percent(confidence, 0)} interval is "
            f"{100 * width:.1f} points wide; half of that takes four times as many images.",
        )
    same = {each.name for each in results.equal_to(results.winner)}
    undecided = [
        test.second
        for test in results.tests_of_winner
        if test.second not in same and not test.comparison.is_significant(confidence)
    ]
    if undecided:
        text = f"The test images do not tell it apart from {several([*map(candidate_title, undecided)], 5)}."
        lightest = min(map(results.candidate, undecided), key=lambda rival: rival.card.forward_macs)
        times = times_lighter(lightest, winner)
        if times >= 1.05:
            fewer = f"{times:.1f} times fewer multiplications"
            text += f" Where speed counts, {lightest.title} gets by with {fewer}."
        yield "Another network may be as good", text


def next_steps(results: RunResults, augmentation: AugmentationParams) -> Iterator[Entry]:
    """What the figures suggest to try, the most promising first; never empty."""
    winner, diagnosis = results.winner, diagnosis_of(results.winner, results)
    transferred, searched = winner.is_transferred, winner.name == "tuned"
    section = "train_transfer" if transferred else "train_baseline"
    if diagnosis.fit is Fit.OVERFITTING:
        off = [name for name, strength in augmentation.model_dump().items() if not strength]
        stronger = "Strengthen the augmentation"
        if off:
            now = f"(now off: {several(off, _MOST_NAMED)})"
            stronger = f"Turn on more augmentation, as far as it leaves the meaning of the images {now}"
        raised = f"raise {section}.weight_decay or {section}.dropout"
        space = f"tune.{'transfer_' if transferred else ''}space"
        raised = f"let the search try more weight decay and dropout ({space})" if searched else raised
        yield (
            "Make it harder to learn by heart",
            f"{winner.title} overfits. {stronger}, {raised}, or collect more images.",
        )
    if diagnosis.fit is Fit.UNDERFITTING:
        larger = "another backbone" if transferred else "larger train_baseline.widths"
        yield (
            "Give it more room",
            f"{winner.title} does not even fit its training images: try {larger}, weaker augmentation or "
            "less weight decay.",
        )
    if diagnosis.still_improving:
        phase = f"{winner.history.phases[-1]}_" if transferred else ""
        epochs = "tune.epochs" if searched else f"{section}.{phase}epochs"
        yield "Train longer", f"The validation loss was still falling at the end: raise {epochs}."
    if agreed := agreed_mistakes(results):
        yield (
            "Look at the labels",
            f"On {counted(agreed, 'test image')} all networks agree on a class other than the label. Those "
            "whose labels they believe least are shown under Right and wrong answers. A wrong label makes "
            "right answers count as mistakes.",
        )
    counts = results.class_counts["train"]
    if counts.min() and counts.max() >= _UNEVEN * counts.min():
        weights = winner.card.hyperparameters.get(section, {}).get("class_weights")
        step = "" if weights == "balanced" else f" or set {section}.class_weights to balanced"
        yield (
            "Even out the classes",
            f"The largest class has {counts.max() / counts.min():.1f} times the training images of the "
            f"smallest: collect more of the rare ones{step}.",
        )
    if ends := _outermost(results):
        yield (
            "Search further out",
            f"The best values found are the outermost that were tried: {several(ends, _MOST_NAMED)}. Values "
            "beyond may be better. The space of tune and tune.max_trials say how far and how long to search.",
        )
    if winner.test.ece >= _POORLY_CALIBRATED and not is_as_sure_as_right(winner):
        cautious = float(winner.confidence.mean()) < winner.test.accuracy
        step = f"lower {section}.label_smoothing" if label_smoothing(winner.card) else "train longer"
        step = f"too cautious: {step}" if cautious else f"too sure: raise {section}.label_smoothing"
        yield "Fix its confidence", f"{_calibration_gap(winner)}, as it is {step}."
    yield (
        "Repeat it with other seeds",
        "python -m pipeline seeds trains everything again with other seeds and shows how far the figures "
        "move by chance.",
    )


def _calibration_gap(winner: Candidate) -> str:
    return f"Confidence and the share of right answers differ by {percent(winner.test.ece)} on average"


def _outermost(results: RunResults) -> list[str]:
    """Hyperparameters whose chosen value is the outermost of those tried."""
    trials = comparable_trials(results.trials)
    ends = []
    for name, chosen in results.best_hyperparameters.items():
        if isinstance(chosen, bool) or not isinstance(chosen, (int, float)):
            continue
        tried = sorted({float(trial.hyperparameters[name]) for trial in trials})
        if len(tried) < 3 or tried[0] < chosen < tried[-1] or chosen == tried[0] == 0.0:
            continue  # nothing lies beyond, or below "none at all"
        ends.append(f"{name} {compact(chosen)} ({'largest' if chosen >= tried[-1] else 'smallest'})")
    return ends


def _use() -> Slide:
    return Slide(
        name="use",
        title="Try it: on your own images, in a browser, from a program",
        blocks=(
            Heading("How to use it"),
            Paragraph(
                "The chosen network runs wherever it is needed: on the command line, behind a web page, in "
                "other programs. Every exported file is checked against the original before it is kept."
            ),
            Commands(
                (
                    ("python -m pipeline export", "files for phones, servers, other runtimes"),
                    ("python -m pipeline predict photo.jpg", "what an image shows"),
                    ("python -m pipeline explain photo.jpg", "where the network looks"),
                    ("python -m pipeline serve", "a web page with camera, and a REST API"),
                )
            ),
        ),
        notes="For the demonstration, export the model once, then start the server and open the address that "
        "it prints. Choose an image or use the camera; the page shows the most probable classes. The same "
        "answers come from the command line and from the REST API.",
    )
