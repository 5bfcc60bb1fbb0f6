"""Sentences that follow from the figures.

Every sentence is chosen by a condition on the numbers that it states, so that another data set
gets other sentences instead of untrue ones.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.inference.model_card import ModelCard
from pipeline.params.augmentation import AugmentationParams
from pipeline.reporting.diagnosis import Diagnosis, Effect, Verdict, comparable_trials
from pipeline.reporting.results import Candidate, PairedTest, Results, Trial
from pipeline.reporting.wording import (
    SPACE,
    accuracy_decimals,
    candidate_title,
    compact,
    counted,
    listed,
    percent,
    points,
    probability,
    quantity,
    quoted,
    reference_title,
    several,
    signed,
    whole,
)

_NUMBER_WORDS = ("No", "One", "Two", "Three", "Four", "Five")
_ALIKE = 1.1
"""Classes whose sizes differ by less than this factor count as equally frequent."""

_SIGNIFICANCE = 0.05
"""Of hyperparameters' correlations, divided by their number (Bonferroni)."""


def introduction(results: Results) -> list[str]:
    """What was done, for somebody who has never trained a network."""
    train, validation, test = (len(results.subsets[name]) for name in ("train", "validation", "test"))
    count = len(results.candidates)
    networks = f"{_NUMBER_WORDS[count]} neural network{'s' if count > 1 else ''}"
    return [
        f"{networks} learned to say to which of {len(results.class_names)} classes an image belongs. "
        f"Each was shown {counted(train, 'labeled image')} again and again and adjusted its weights "
        "so that its answers came closer to the labels.",
        "What counts is how it does on images that it has not learned from. "
        f"{counted(validation, 'image')}, the "
        "validation subset, served to watch the training and to choose among the networks. "
        f"{counted(test, 'image')}, the test subset, "
        "were kept apart to the end: no choice was made on them, so their figures are the ones to believe.",
        "The report goes from the images and the networks to how they learned, what they get right and "
        "wrong, where they look, and what to try next. Terms are explained at its end.",
    ]


def candidate_description(candidate: Candidate, trials: int) -> str:
    """How a candidate came to be, in one or two sentences."""
    if candidate.name == "transfer":
        return _transfer_description(candidate)
    network = f"The network {candidate.card.network}"
    if candidate.name == "tuned":
        return f"{network}, trained with the setting that a search of {counted(trials, 'trial')} found best."
    return f"{network}, trained from scratch: it has never seen any images but these."


def _transfer_description(candidate: Candidate) -> str:
    section = candidate.card.hyperparameters.get("train_transfer", {})
    backbone = candidate.card.network
    if section.get("weights") == "none" and section.get("backbone") != "bundled":
        start = f"The backbone {backbone}, begun with random weights, under a new head."
    else:
        start = f"The backbone {backbone}, which learned from other images before, under a new head."
    phases = {phase for _, phase in candidate.history.phase_starts()}
    if phases == {"head", "fine_tune"}:
        return f"{start} First only the head was trained, then the backbone was fine-tuned with it."
    if phases == {"head"}:
        return f"{start} Only the head was trained."
    return start


def size(candidate: Candidate) -> str:
    """Weights, multiplications, and where most of each are."""
    card = candidate.card
    text = (
        f"{quantity(card.parameters['total'])} weights, "
        f"{quantity(card.forward_macs)} multiplications for one image."
    )
    largest = max(card.layers, key=lambda layer: layer.parameters)
    busiest = max(card.layers, key=lambda layer: layer.macs)
    if not largest.parameters or not busiest.macs:
        return text
    return (
        f"{text} The layer with most weights is {largest.name} "
        f"({percent(largest.parameters / card.parameters['total'], 0)} of them), "
        f"the one with most work {busiest.name} ({percent(busiest.macs / card.forward_macs, 0)})."
    )


def choice(results: Results) -> str:
    """Which candidate was chosen, and by what."""
    winner = results.winner
    name = candidate_title(winner.name)
    scores = winner.scores["validation"]
    images = int(scores["images"])
    decimals = accuracy_decimals(images)
    measured = f"{right_of(scores)} validation images ({percent(scores['accuracy'], decimals)})"
    others = [candidate for candidate in results.candidates if candidate is not winner]
    if not others:
        return f"{name} is the only network that was trained. It is right on {measured}."
    runner_up = max(
        others, key=lambda c: (c.scores["validation"]["accuracy"], -c.scores["validation"]["log_loss"])
    )
    second = runner_up.scores["validation"]
    title = candidate_title(runner_up.name)
    if scores["accuracy"] > second["accuracy"]:
        lead = counted(round((scores["accuracy"] - second["accuracy"]) * images), "image")
        reason = f"{lead} more than {title} ({percent(second['accuracy'], decimals)})"
    elif scores["log_loss"] < second["log_loss"]:
        reason = (
            f"as many as {title}, and its probabilities are better "
            f"(log loss {scores['log_loss']:.3f} against {second['log_loss']:.3f})"
        )
    else:
        reason = f"as many as {title}, with {quantity(winner.card.parameters['total'])} weights"
    return f"{name} is the model of choice: it is right on {measured}, {reason}."


def verdict(results: Results, confidence: float) -> str:
    """All paired tests of the chosen candidate in one sentence; empty where they differ among each other."""
    winner = results.winner
    others = [other.name for other in results.candidates if other is not winner]
    tests = [test for name in others if (test := results.paired_test(winner.name, name)) is not None]
    if not tests:
        return ""
    if all(is_significant(test, confidence) and test.difference > 0 for test in tests):
        every = "every other network" if len(tests) > 1 else "the other network"
        return f"On the test images it beats {every} by more than chance explains."
    if not any(is_significant(test, confidence) for test in tests):
        differ = "no other network differs" if len(tests) > 1 else "the other network does not differ"
        return f"On the test images {differ} from it by more than chance explains."
    return ""


def test_result(candidate: Candidate, confidence: float) -> str:
    """How the chosen candidate does on the test subset, and how sure that is."""
    scores = candidate.scores["test"]
    images = int(scores["images"])
    decimals = accuracy_decimals(images)
    if scores["accuracy"] == 1.0:
        # The largest error rate under which no error among so many images is not yet too unlikely.
        bound = 1.0 - (1.0 - confidence) ** (1.0 / images)
        return (
            f"On the {counted(images, 'test image')} it makes no mistake. That does not mean that it "
            "never will: "
            f"an error rate of up to {percent(bound, 2)} is compatible with it "
            f"(at {percent(confidence, 0)} confidence)."
        )
    low, high = scores["accuracy_low"], scores["accuracy_high"]
    return (
        f"On test images it is right on {right_of(scores)}, which is "
        f"{percent(scores['accuracy'], decimals)}. "
        f"With that many images the {percent(confidence, 0)} interval reaches from "
        f"{percent(low, decimals)} to {percent(high, decimals)}."
    )


def right_of(scores: dict[str, float]) -> str:
    """ "350 of the 359"."""
    images = int(scores["images"])
    return f"{whole(round(scores['accuracy'] * images))} of the {whole(images)}"


def against(test: PairedTest, confidence: float, images: int) -> str:
    """The first candidate of a paired test compared with the second on the test images."""
    other = candidate_title(test.second)
    first = candidate_title(test.first)
    if test.only_first_right + test.only_second_right == 0:
        return f"{first} and {other} are right and wrong on the very same test images."
    decimals = accuracy_decimals(images)
    sure = f"{percent(confidence, 0)} interval {points(test.low, decimals)} to {points(test.high, decimals)}"
    evidence = f"{points(test.difference, decimals)}, {sure}, {probability(test.p_value)}"
    if not is_significant(test, confidence):
        return f"Between {first} and {other} the test images do not decide ({evidence})."
    if test.difference > 0:
        return f"{first} is better than {other} on the test images by more than chance explains ({evidence})."
    return (
        f"{other} does better than {first} on the test images by more than chance explains ({evidence}). "
        "The choice stays, as it was made on the validation images: "
        "choosing by test images would make their figures too good."
    )


def is_significant(test: PairedTest, confidence: float) -> bool:
    return test.p_value < 1.0 - confidence


def against_references(results: Results) -> str:
    """The chosen candidate beside the simple references."""
    winner = results.winner
    accuracy = winner.scores["test"]["accuracy"]
    decimals = accuracy_decimals(int(winner.scores["test"]["images"]))
    parts = []
    if "majority_class" in results.references:
        majority = results.references["majority_class"]["test"]["accuracy"]
        parts.append(f"always naming the most frequent class is right in {percent(majority, decimals)}")
    if "logistic_regression" in results.references:
        simple = results.references["logistic_regression"]["test"]["accuracy"]
        parts.append(f"a logistic regression on coarse pixels in {percent(simple, decimals)}")
    unbeaten = [
        reference_title(name).lower()
        for name, scores in results.references.items()
        if scores["test"]["accuracy"] >= accuracy
    ]
    if not parts:
        return ""
    text = f"For scale: {listed(parts)} of the test images."
    if unbeaten:
        text += f" {candidate_title(winner.name)} does no better than the {listed(unbeaten)}."
    return text


def cost(results: Results) -> str:
    """What the chosen candidate needs, beside the smallest one."""
    winner = results.winner
    card = winner.card
    text = (
        f"{candidate_title(winner.name)} has {quantity(card.parameters['total'])} weights and takes "
        f"{quantity(card.forward_macs)} multiplications for one image"
    )
    lightest = min(results.candidates, key=lambda candidate: candidate.card.forward_macs)
    ratio = card.forward_macs / max(1, lightest.card.forward_macs)
    if ratio <= 1.0:
        return f"{text}; none of the networks takes fewer." if len(results.candidates) > 1 else f"{text}."
    if ratio < 1.05:
        return f"{text}, about as many as {candidate_title(lightest.name)}."
    return f"{text}, {ratio:.1f} times as many as {candidate_title(lightest.name)}."


def fit(diagnosis: Diagnosis, title: str) -> str:
    """Over- or underfitting of one candidate."""
    measured = (
        f"at epoch {diagnosis.epoch}, whose weights were kept, it is right on "
        f"{percent(diagnosis.train_accuracy)} of the training images and on "
        f"{percent(diagnosis.validation_accuracy)} of the validation images"
    )
    if diagnosis.verdict is Verdict.OVERFITTING:
        return _overfitting(diagnosis, title, measured)
    if diagnosis.verdict is Verdict.UNDERFITTING:
        return f"{title} underfits: {measured}. {_outlook(diagnosis)}"
    gap = (
        "so it does no worse on images that it has not learned from"
        if diagnosis.gap <= 0
        else f"a gap of {100 * diagnosis.gap:.1f} points, which is small or within chance"
    )
    text = f"{title} shows neither over- nor underfitting: {measured}, {gap}."
    if diagnosis.still_improving:
        text += f" {_outlook(diagnosis)}"
    return text


def _overfitting(diagnosis: Diagnosis, title: str, measured: str) -> str:
    degree = "overfits strongly" if diagnosis.gap_is_large else "overfits"
    text = f"{title} {degree}: {measured}, a gap of {100 * diagnosis.gap:.1f} points."
    if diagnosis.gap <= 0:
        text = f"{title} overfits towards its end: {measured}."
    if diagnosis.loss_rises:
        text += (
            f" Its validation loss was lowest at epoch {diagnosis.lowest_loss_epoch} and ended "
            f"{percent(diagnosis.loss_rise, 0)} higher, while the training loss went on falling."
        )
    return f"{text} More images, stronger augmentation or more regularization are the usual remedies."


def _outlook(diagnosis: Diagnosis) -> str:
    last = "the last epoch" if diagnosis.last_epochs == 1 else f"the last {diagnosis.last_epochs} epochs"
    if diagnosis.still_improving:
        fall = percent(diagnosis.late_fall, 0)
        return f"Its validation loss still fell by {fall} in {last}, so longer training may help."
    if diagnosis.last_epochs == diagnosis.epochs:
        return "So few epochs do not tell whether longer training would help."
    return (
        f"Its validation loss no longer fell by much in {last}: "
        "a larger network, less regularization or a longer schedule may help."
    )


def calibration(candidate: Candidate) -> str:
    """Whether a candidate's confidence on the test images is justified."""
    predictions = candidate.predictions["test"]
    confidence = float(predictions.probabilities.max(axis=1).mean(dtype=np.float64))
    accuracy = float(predictions.right.mean())
    excess = confidence - accuracy
    name = candidate_title(candidate.name)
    measured = f"mean confidence {percent(confidence)}, right in {percent(accuracy)}"
    ece = f"expected calibration error {percent(candidate.scores['test']['ece'])}"
    if is_as_sure_as_right(candidate):
        return f"{name} is, on the whole, as sure as it should be ({measured}; {ece})."
    if excess > 0:
        return f"{name} is too sure of itself, by {100 * excess:.1f} points ({measured}; {ece})."
    smoothing = label_smoothing(candidate.card)
    because = f", as label smoothing ({compact(smoothing)}) tends to make networks" if smoothing else ""
    return f"{name} is too cautious, by {-100 * excess:.1f} points{because} ({measured}; {ece})."


def is_as_sure_as_right(candidate: Candidate) -> bool:
    """Whether mean confidence and accuracy on the test images differ by no more than chance explains."""
    predictions = candidate.predictions["test"]
    confidence = float(predictions.probabilities.max(axis=1).mean(dtype=np.float64))
    accuracy = float(predictions.right.mean())
    noise = 2.0 * float(np.sqrt(accuracy * (1.0 - accuracy) / len(predictions)))
    return abs(confidence - accuracy) <= max(noise, 0.005)


def label_smoothing(card: ModelCard) -> float:
    """The share of each training label that was spread over all classes; 0 where none was."""
    found = [value for name, value in flattened(card.hyperparameters) if name.endswith("label_smoothing")]
    return float(str(found[0])) if found else 0.0


def classes(candidate: Candidate) -> str:
    """The easiest and the hardest classes of the test subset."""
    seen = [result for result in candidate.classes if result.support > 0]
    name = candidate_title(candidate.name)
    faultless = [quoted(result.name) for result in seen if result.recall == 1.0]
    if len(faultless) == len(seen):
        return f"{name} recognizes every test image of every class."
    hardest = min(seen, key=lambda result: result.recall)
    if all(result.recall == hardest.recall for result in seen):
        return (
            f"{name} recognizes the same share of every class: {percent(hardest.recall)} of its test images."
        )
    text = f"Hardest for {name} is {quoted(hardest.name)}: {_recognized(hardest.recall, hardest.support)}."
    if faultless:
        text += f" Of {several(faultless, 5)} it recognizes every test image."
    else:
        easiest = max(seen, key=lambda result: result.recall)
        text += f" Easiest is {quoted(easiest.name)}: {_recognized(easiest.recall, easiest.support)}."
    fewest = min(result.support for result in seen)
    return f"{text} One image more or less changes a class's share by up to {100 / fewest:.1f} points."


def _recognized(recall: float, support: int) -> str:
    hits = round(recall * support)
    return f"{whole(hits)} of {counted(support, 'test image')} recognized ({percent(recall)})"


def confusions(pairs: Sequence[tuple[str, str, int, int]], title: str) -> str:
    """The most frequent confusion.

    Args:
      pairs: actual class, predicted class, images confused, images of the actual class; most frequent first.
    """
    if not pairs:
        return f"{title} confuses no classes: it makes no mistake on the test images."
    actual, predicted, images, support = pairs[0]
    if images == 1 and len(pairs) > 1:
        return f"{title} confuses no pair of classes more than once."
    return (
        f"The most frequent confusion of {title}: {quoted(actual)} taken for {quoted(predicted)}, "
        f"{whole(images)} of {counted(support, 'test image')} of {quoted(actual)}."
    )


def wrong_by_all(results: Results) -> str:
    """How many test images no candidate gets right."""
    if len(results.candidates) < 2:
        return ""
    wrong = np.logical_and.reduce([~candidate.predictions["test"].right for candidate in results.candidates])
    count = int(wrong.sum())
    if count == 0:
        return "Every test image is named rightly by at least one of the networks."
    answers = np.stack([candidate.predictions["test"].predicted[wrong] for candidate in results.candidates])
    agreed = int((answers == answers[0]).all(axis=0).sum())
    text = (
        f"All of the networks are wrong on {counted(count, 'test image')}: "
        f"{'a hard one, or one' if count == 1 else 'hard ones, or ones'} with a wrong label."
    )
    if not agreed:
        return f"{text} They do not agree on another class for {'it' if count == 1 else 'any of them'}."
    which = "it" if count == 1 else whole(agreed)
    return (
        f"{text} On {which} they agree on the same wrong class; where a person would side with them, "
        "the label is to be corrected in the source."
    )


def data_source(results: Results) -> str:
    source = results.source
    return (
        f"{counted(source['images'], 'image')} of {len(results.class_names)} classes. "
        f"Source: {source['origin'].rstrip('.')}."
    )


def image_sizes(results: Results) -> str:
    """What the originals measure, and what the networks see of them."""
    widths, heights = results.original_sizes[:, 0], results.original_sizes[:, 1]
    size = results.preprocessing.image_size
    color = "in color" if results.preprocessing.color == "rgb" else "in shades of gray"
    seen = f"The networks see them at {size}×{size} pixels {color}"
    if widths.min() == widths.max() and heights.min() == heights.max():
        sizes = f"The originals measure {widths[0]}×{heights[0]} pixels."
        if (widths[0], heights[0]) == (size, size):
            return f"{sizes} {seen}."
    else:
        sizes = (
            f"The originals are {widths.min()} to {widths.max()} pixels wide and "
            f"{heights.min()} to {heights.max()} high."
        )
    if (widths == heights).all():
        return f"{sizes} {seen}."
    how = {"pad": "filled up to a square", "crop": "cropped to a square", "stretch": "stretched to a square"}
    return f"{sizes} {seen}, {how[results.preprocessing.resize]}."


def class_sizes(counts: np.ndarray, class_names: Sequence[str]) -> str:
    """Whether the classes are equally frequent among the training images."""
    smallest, largest = int(np.argmin(counts)), int(np.argmax(counts))
    low, high = int(counts[smallest]), int(counts[largest])
    if low == high:
        return f"Every class has {counted(high, 'training image')}."
    if high <= _ALIKE * low:
        return f"The classes are about equally frequent: {whole(low)} to {whole(high)} training images each."
    text = (
        f"The classes differ in size: {quoted(class_names[largest])} has {counted(high, 'training image')}, "
        f"{quoted(class_names[smallest])} only {whole(low)}"
    )
    return f"{text}, {high / low:.1f} times fewer." if low else f"{text}."


def duplicates(results: Results) -> str:
    """Images that occur more than once, and what was done about them."""
    found = results.split["duplicates"]
    if not found["groups"]:
        return "No image occurs twice, pixel by pixel."
    text = (
        f"{counted(found['images'], 'image')} in {counted(found['groups'], 'group')} "
        "are the same as another one, pixel by pixel."
    )
    taken = [
        f"{whole(found[f'removed_from_{subset}'])} from {subset}"
        for subset in ("train", "validation")
        if found[f"removed_from_{subset}"]
    ]
    if taken:
        return f"{text} So that no test image is known beforehand, copies were taken out: {listed(taken)}."
    return f"{text} None of them lies in two subsets."


def conflicting_labels(results: Results) -> str:
    count = results.split["conflicting_labels"]
    if not count:
        return ""
    return (
        f"In {counted(count, 'group')} of identical images the labels contradict each other: "
        "there no model can be right on all of them."
    )


def rejected(results: Results) -> str:
    count = len(results.rejected)
    if not count:
        return "Every file could be read."
    return f"{counted(count, 'file')} could not be used and {'was' if count == 1 else 'were'} left out."


def left_out(results: Results) -> str:
    count = results.split["left_out_by_limit"]
    if not count:
        return ""
    were = counted(count, "image was", "images were")
    return f"{were} left out of training by the limit in split.train_limit."


def augmentation(params: AugmentationParams) -> str:
    """What may happen to a training image before a network sees it."""
    changes = [
        text
        for on, text in (
            (params.horizontal_flip, "mirrored left to right"),
            (params.vertical_flip, "turned upside down"),
            (params.shift, f"shifted by up to {_share(params.shift)} of its side"),
            (params.rotation, f"rotated by up to {compact(params.rotation)} degrees"),
            (params.zoom, f"enlarged or shrunk by up to {_share(params.zoom)}"),
            (params.brightness, f"made brighter or darker by up to {_share(params.brightness)}"),
            (params.contrast, f"changed in contrast by up to {_share(params.contrast)}"),
            (params.cutout, f"covered by a square of {_share(params.cutout)} of its side"),
            (
                params.random_erasing,
                f"painted over by a rectangle of noise (probability {_share(params.random_erasing)})",
            ),
            (params.mixup, f"blended with another one (mixup, alpha {compact(params.mixup)})"),
            (params.cutmix, f"patched with a part of another one (cutmix, alpha {compact(params.cutmix)})"),
        )
        if on
    ]
    if not changes:
        return "The networks see the training images as they are: all augmentation is turned off."
    return (
        f"Each time a network sees a training image, it may be {listed(changes)}. "
        "This is augmentation: it teaches what does not matter, and applies to training images only."
    )


def _share(share: float) -> str:
    """A share as it may stand in params.yaml: 0.125 -> "12.5 %"."""
    return f"{compact(100 * share)}{SPACE}%"


def searched_augmentation(results: Results) -> str:
    """What the search decided about augmentation; empty where that was not searched."""
    chosen = [
        f"{name} {compact(value)}"
        for name, value in results.best_hyperparameters.items()
        if name in AugmentationParams.model_fields
    ]
    return f"For Tuned the search chose its own strength of it: {listed(chosen)}." if chosen else ""


def search(results: Results) -> str:
    """What the search over hyperparameters tried and reached."""
    reached = sorted(trial.val_accuracy for trial in results.trials if trial.val_accuracy is not None)
    failed = sum(not trial.completed for trial in results.trials)
    text = f"The search trained {counted(len(results.trials), 'setting')} briefly"
    if failed:
        text += f" ({whole(failed)} failed)"
    if not reached:
        return f"{text}."
    if len(reached) == 1:
        return f"{text}; what ended is right on {percent(reached[0])} of the validation images."
    return (
        f"{text} and compared them on the validation images: their accuracies reach from "
        f"{percent(reached[0])} to {percent(reached[-1])}."
    )


def search_gain(results: Results) -> str:
    """The tuned candidate beside the baseline, whose network it shares."""
    names = [candidate.name for candidate in results.candidates]
    if "baseline" not in names or "tuned" not in names:
        return ""
    tuned = results.candidate("tuned").scores["validation"]["accuracy"]
    baseline = results.candidate("baseline").scores["validation"]
    difference = tuned - baseline["accuracy"]
    decimals = accuracy_decimals(int(baseline["images"]))
    if difference == 0:
        return "Trained in full with the best setting, it does as well as Baseline on the validation images."
    direction = "better" if difference > 0 else "worse"
    return (
        f"Trained in full with the best setting, it does {direction} than Baseline on the validation images: "
        f"{percent(tuned, decimals)} against {percent(baseline['accuracy'], decimals)} "
        f"({points(difference, decimals)})."
    )


def what_mattered(trials: Sequence[Trial], effects: Sequence[Effect]) -> str:
    """Which hyperparameters went with the accuracy over the trials, and how sure that is."""
    compared = len(comparable_trials(trials))
    if not effects:
        return (
            f"{counted(compared, 'trial')} of the same length {'is' if compared == 1 else 'are'} too few, "
            "or too much alike, to say which hyperparameter mattered."
        )
    limit = _SIGNIFICANCE / len(effects)
    clear = [effect for effect in effects if effect.p_value < limit]
    if clear:
        parts = [
            f"{effect.name} ({'higher' if effect.correlation > 0 else 'lower'} values did better; "
            f"{correlation(effect)})"
            for effect in clear
        ]
        text = f"Over {counted(compared, 'trial')}, the accuracy went clearly with {listed(parts)}."
    else:
        text = (
            f"Over {counted(compared, 'trial')}, no hyperparameter went with the accuracy more clearly "
            f"than chance could make it; the strongest link is that of {effects[0].name} "
            f"({correlation(effects[0])})."
        )
    return (
        f"{text} Take it as a hint: a rank correlation sees neither an optimum in the middle nor "
        "hyperparameters that work together, and a search that learns from its trials does not try evenly."
    )


def correlation(effect: Effect) -> str:
    return f"rank correlation {signed(effect.correlation, 2)}, {probability(effect.p_value)}"


def flattened(values: dict[str, object], prefix: str = "") -> list[tuple[str, object]]:
    """Nested hyperparameters as dotted names: {"a": {"b": 1}} -> [("a.b", 1)]."""
    found: list[tuple[str, object]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += flattened(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", value))
    return found
