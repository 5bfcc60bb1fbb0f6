"""Strengths, limits and what to try next: what follows from the figures for whoever goes on from here.

Each entry is a few words and the reason for them; one that the figures do not give rise to is left out.
Only `limits` has entries that are true of every run.
"""

import numpy as np

from pipeline.params.augmentation import AugmentationParams
from pipeline.reporting import statements
from pipeline.reporting.diagnosis import Diagnosis, Verdict, comparable_trials, diagnose
from pipeline.reporting.results import Candidate, Results
from pipeline.reporting.wording import (
    accuracy_decimals,
    candidate_title,
    compact,
    counted,
    percent,
    quoted,
    several,
    whole,
)

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


def strengths(results: Results) -> list[Entry]:
    """What speaks for the chosen network."""
    entries = [
        _beats_references(results),
        _reliable_classes(results.winner),
        _calibrated(results.winner),
        _generalizes(results),
        _light(results),
    ]
    return [entry for entry in entries if entry]


def limits(results: Results, confidence: float) -> list[Entry]:
    """What the figures do not show, and where the chosen network is weak."""
    classes = whole(len(results.class_names))
    entries = [
        (
            f"It knows {classes} classes and no others",
            "Whatever image it is given, one of these classes is its answer. An image of something else "
            "gets one too, now and then with high confidence.",
        ),
        (
            "The test images are of the same source as the training images",
            "Other cameras, other places or another way of labeling were not tested. Expect less there, "
            "and measure before relying on it.",
        ),
        (
            "Each network was trained once",
            "The intervals tell what other test images would have given, not what another training "
            "would have. Only a repetition with other seeds shows that spread.",
        ),
        _weak_classes(results.winner),
        _few_test_images(results.winner),
        _wide_interval(results, confidence),
        _undecided(results, confidence),
    ]
    return [entry for entry in entries if entry]


def next_steps(results: Results, augmentation: AugmentationParams) -> list[Entry]:
    """What the figures suggest to try, the most promising first; never empty."""
    winner = results.winner
    kept = winner.card.training["best_epoch"]
    diagnosis = diagnose(winner.history, kept, len(results.subsets["validation"]))
    entries = [
        _against_overfitting(winner, diagnosis, augmentation),
        _against_underfitting(winner, diagnosis),
        _longer(winner, diagnosis),
        _look_at_labels(results),
        _balance(results),
        _widen_search(results),
        _calibrate(winner),
        (
            "Repeat it with other seeds",
            "python -m pipeline seeds trains everything again with other seeds and shows how far the "
            "figures move by chance.",
        ),
    ]
    return [entry for entry in entries if entry]


def _beats_references(results: Results) -> Entry | None:
    winner = results.winner
    decimals = accuracy_decimals(int(winner.scores["test"]["images"]))
    accuracy = winner.scores["test"]["accuracy"]
    best = max((scores["test"]["accuracy"] for scores in results.references.values()), default=None)
    if best is None or winner.scores["test"]["accuracy_low"] <= best:
        return None
    wrong = 1.0 - accuracy
    fewer = f", {(1.0 - best) / wrong:.1f} times fewer mistakes" if wrong else ""
    return (
        "It beats the simple references",
        f"{percent(accuracy, decimals)} of the test images against {percent(best, decimals)} of the "
        f"best simple reference{fewer}.",
    )


def _reliable_classes(winner: Candidate) -> Entry | None:
    seen = [result for result in winner.classes if result.support > 0]
    reliable = [result for result in seen if result.recall >= _RELIABLE]
    if not reliable:
        return None
    names = several([quoted(result.name) for result in reliable], 5)
    count = "Every class" if len(reliable) == len(seen) else counted(len(reliable), "class", "classes")
    verb = "is" if len(reliable) in (1, len(seen)) else "are"
    return (
        f"{count} {verb} found at {percent(_RELIABLE, 0)} or more",
        f"Of {names} it recognizes at least {percent(_RELIABLE, 0)} of the test images.",
    )


def _calibrated(winner: Candidate) -> Entry | None:
    error = winner.scores["test"]["ece"]
    if error > _WELL_CALIBRATED:
        return None
    return (
        "Its confidence can be taken at its word",
        f"Confidence and the share of right answers differ by {percent(error)} on average.",
    )


def _generalizes(results: Results) -> Entry | None:
    winner = results.winner
    kept = winner.card.training["best_epoch"]
    found = diagnose(winner.history, kept, len(results.subsets["validation"]))
    if found.verdict is not Verdict.BALANCED:
        return None
    return (
        "It does about as well on images that it has not learned from",
        f"{percent(found.train_accuracy)} of the training images right, "
        f"{percent(found.validation_accuracy)} of the validation images.",
    )


def _light(results: Results) -> Entry | None:
    winner = results.winner
    others = [candidate for candidate in results.candidates if candidate is not winner]
    if not others or any(each.card.forward_macs < winner.card.forward_macs for each in others):
        return None
    return ("No other network is lighter", statements.cost(results))


def _weak_classes(winner: Candidate) -> Entry | None:
    weak = [result for result in winner.classes if result.support > 0 and result.recall < _UNRELIABLE]
    if not weak:
        return None
    weak.sort(key=lambda result: result.recall)
    names = several([f"{quoted(each.name)} ({percent(each.recall, 0)})" for each in weak], 5)
    return (
        f"{counted(len(weak), 'class is', 'classes are')} found at less than {percent(_UNRELIABLE, 0)}",
        f"Recall of {names}.",
    )


def _few_test_images(winner: Candidate) -> Entry | None:
    few = [result for result in winner.classes if result.support < _FEW_IMAGES]
    if not few:
        return None
    if len(few) == len(winner.classes):
        most = max(result.support for result in few)
        return (
            "The classes have few test images",
            f"Below {_FEW_IMAGES} a class's figures are mostly chance, and none has more than {whole(most)}.",
        )
    names = several([f"{quoted(each.name)} ({whole(each.support)})" for each in few], 5)
    return (
        "Some classes have few test images",
        f"Below {_FEW_IMAGES} a class's figures are mostly chance: {names}.",
    )


def _wide_interval(results: Results, confidence: float) -> Entry | None:
    scores = results.winner.scores["test"]
    width = scores["accuracy_high"] - scores["accuracy_low"]
    if width <= _WIDE_INTERVAL:
        return None
    images = counted(int(scores["images"]), "test image")
    return (
        "Its accuracy is known only roughly",
        f"With {images} the {percent(confidence, 0)} interval is {100 * width:.1f} points wide; "
        "half of that takes four times as many images.",
    )


def _undecided(results: Results, confidence: float) -> Entry | None:
    rivals = _undecided_rivals(results, confidence)
    if not rivals:
        return None
    names = several([candidate_title(rival.name) for rival in rivals], 5)
    lighter = [rival for rival in rivals if rival.card.forward_macs < results.winner.card.forward_macs]
    text = f"The test images do not tell it apart from {names}."
    if lighter:
        lightest = min(lighter, key=lambda rival: rival.card.forward_macs)
        ratio = results.winner.card.forward_macs / max(1, lightest.card.forward_macs)
    if lighter and ratio >= 1.05:
        text += (
            f" Where speed counts, {candidate_title(lightest.name)} does with {ratio:.1f} times fewer "
            "multiplications."
        )
    return ("Another network may be as good", text)


def _undecided_rivals(results: Results, confidence: float) -> list[Candidate]:
    winner = results.winner
    tests = [(other, results.paired_test(winner.name, other.name)) for other in results.candidates]
    return [other for other, test in tests if test and not statements.is_significant(test, confidence)]


def _section(candidate: Candidate) -> str:
    """The params section that trained a candidate."""
    return "train_transfer" if candidate.name == "transfer" else "train_baseline"


def _against_overfitting(
    winner: Candidate, diagnosis: Diagnosis, augmentation: AugmentationParams
) -> Entry | None:
    if diagnosis.verdict is not Verdict.OVERFITTING:
        return None
    off = [name for name, strength in augmentation.model_dump().items() if not strength]
    stronger = "Strengthen the augmentation"
    if off:
        stronger = (
            "Turn on more augmentation, as far as it leaves the meaning of the images "
            f"(now off: {several(off, 5)})"
        )
    raised = "let the search try more weight decay and dropout (tune.space)"
    if winner.name != "tuned":
        raised = f"raise {_section(winner)}.weight_decay or {_section(winner)}.dropout"
    return (
        "Make it harder to learn by heart",
        f"{candidate_title(winner.name)} overfits. {stronger}, {raised}, or collect more images.",
    )


def _against_underfitting(winner: Candidate, diagnosis: Diagnosis) -> Entry | None:
    if diagnosis.verdict is not Verdict.UNDERFITTING:
        return None
    larger = "another backbone" if winner.name == "transfer" else "larger train_baseline.widths"
    return (
        "Give it more room",
        f"{candidate_title(winner.name)} does not even manage its training images: try {larger}, "
        "weaker augmentation or less weight decay.",
    )


def _longer(winner: Candidate, diagnosis: Diagnosis) -> Entry | None:
    if not diagnosis.still_improving:
        return None
    epochs = {"transfer": "train_transfer.fine_tune_epochs", "tuned": "tune.epochs"}
    return (
        "Train longer",
        "The validation loss still fell at the end: raise "
        f"{epochs.get(winner.name, 'train_baseline.epochs')}.",
    )


def _look_at_labels(results: Results) -> Entry | None:
    every = [candidate.predictions["test"] for candidate in results.candidates]
    if len(every) < 2:
        return None
    agree = np.logical_and.reduce([each.predicted == every[0].predicted for each in every])
    count = int((agree & ~every[0].right).sum())
    if not count:
        return None
    return (
        "Look at the labels",
        f"On {counted(count, 'test image')} all networks agree on another class than the label. Those "
        "whose labels they believe least are shown under Right and wrong answers. A label that is wrong "
        "makes right answers count as mistakes.",
    )


def _balance(results: Results) -> Entry | None:
    train = results.subsets["train"].labels
    counts = np.bincount(train, minlength=len(results.class_names))
    if not counts.min() or counts.max() < _UNEVEN * counts.min():
        return None
    ratio = counts.max() / counts.min()
    section = _section(results.winner)
    weights = results.winner.card.hyperparameters.get(section, {}).get("class_weights")
    step = "" if weights == "balanced" else f" or set {section}.class_weights to balanced"
    return (
        "Even out the classes",
        f"The largest class has {ratio:.1f} times the training images of the smallest: collect more of "
        f"the rare ones{step}.",
    )


def _widen_search(results: Results) -> Entry | None:
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
    if not ends:
        return None
    return (
        "Search further out",
        f"The chosen setting has the outermost value that was tried of {several(ends, 5)}: "
        "beyond it may be better. tune.space and tune.max_trials say how far and how long to search.",
    )


def _calibrate(winner: Candidate) -> Entry | None:
    error = winner.scores["test"]["ece"]
    if error < _POORLY_CALIBRATED or statements.is_as_sure_as_right(winner):
        return None
    confidence = float(winner.predictions["test"].probabilities.max(axis=1).mean(dtype=np.float64))
    cautious = confidence < winner.scores["test"]["accuracy"]
    smoothing = f"{_section(winner)}.label_smoothing"
    measured = f"Confidence and the share of right answers differ by {percent(error)} on average"
    if not cautious:
        return ("Mend its confidence", f"{measured}, as it is too sure: raise {smoothing}.")
    if statements.label_smoothing(winner.card):
        return ("Mend its confidence", f"{measured}, as it is too cautious: lower {smoothing}.")
    return ("Mend its confidence", f"{measured}, as it is too cautious: train longer.")
