"""Sentences must change with the figures they are about."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.params.augmentation import AugmentationParams
from pipeline.reporting import statements
from pipeline.reporting.diagnosis import diagnose
from pipeline.reporting.results import Candidate, Results
from pipeline.scoring.predictions import Predictions
from tests.reporting.fake_project import NO_AUGMENTATION, FakeProject

Load = Callable[[FakeProject], Results]


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


TRANSFER_WINS = FakeProject(
    wrong={"baseline": range(40), "transfer": range(5), "tuned": range(30)},
    validation_wrong={"baseline": 15, "transfer": 2, "tuned": 12},
)
BASELINE_WINS = FakeProject(
    wrong={"baseline": range(5), "transfer": range(40), "tuned": range(30)},
    validation_wrong={"baseline": 2, "transfer": 15, "tuned": 12},
    best="baseline",
)
TIE = FakeProject(
    wrong={"baseline": range(10), "transfer": range(1, 11), "tuned": range(2, 12)},
    validation_wrong={"baseline": 4, "transfer": 3, "tuned": 4},
)
UNLUCKY = FakeProject(
    wrong={"baseline": range(5), "transfer": range(40), "tuned": range(30)},
    validation_wrong={"baseline": 4, "transfer": 3, "tuned": 12},
)
"""Transfer was chosen by a single validation image; on the test images baseline is far better."""


def test_transfer_wins(results: Load) -> None:
    found = results(TRANSFER_WINS)
    assert plain(statements.choice(found)) == (
        "Transfer is the model of choice: it is right on 38 of the 40 validation images (95.0 %), "
        "10 images more than Tuned (70.0 %)."
    )
    assert statements.verdict(found, 0.95) == (
        "On the test images it beats every other network by more than chance explains."
    )
    test = found.paired_test("transfer", "baseline")
    assert test is not None
    assert plain(statements.against(test, 0.95, 100)) == (
        "Transfer is better than Baseline on the test images by more than chance explains "
        "(+35.0 points, 95 % interval +23.4 points to +46.6 points, p < 0.001)."
    )


def test_baseline_wins(results: Load) -> None:
    found = results(BASELINE_WINS)
    assert statements.choice(found).startswith("Baseline is the model of choice")
    assert "beats every other network" in statements.verdict(found, 0.95)


def test_a_tie_within_noise(results: Load) -> None:
    """Each is wrong on ten images, one of them another one: nothing to tell them apart."""
    found = results(TIE)
    assert statements.verdict(found, 0.95) == (
        "On the test images no other network differs from it by more than chance explains."
    )
    test = found.paired_test("transfer", "baseline")
    assert test is not None
    assert plain(statements.against(test, 0.95, 100)) == (
        "Between Transfer and Baseline the test images do not decide "
        "(0.0 points, 95 % interval −2.8 points to +2.8 points, p = 1.000)."
    )


def test_a_choice_that_the_test_images_do_not_confirm_is_said_so(results: Load) -> None:
    found = results(UNLUCKY)
    assert "1\u00a0image more than Baseline" in statements.choice(found)
    assert statements.verdict(found, 0.95) == ""
    test = found.paired_test("transfer", "baseline")
    assert test is not None
    assert "Baseline does better than Transfer" in statements.against(test, 0.95, 100)


def test_the_same_mistakes(results: Load) -> None:
    found = results(FakeProject(wrong={"baseline": range(5), "transfer": range(5), "tuned": range(6)}))
    test = found.paired_test("transfer", "baseline")
    assert test is not None
    assert statements.against(test, 0.95, 100) == (
        "Transfer and Baseline are right and wrong on the very same test images."
    )


def test_equal_validation_accuracy_was_decided_by_log_loss(results: Load) -> None:
    found = results(dataclasses.replace(TIE, validation_wrong={"baseline": 9, "transfer": 3, "tuned": 3}))
    for name, log_loss in (("transfer", 0.25), ("tuned", 0.5)):
        found.candidate(name).scores["validation"]["log_loss"] = log_loss
    assert "as many as Tuned, and its probabilities are better (log loss 0.250 against 0.500)" in (
        statements.choice(found)
    )


def test_a_single_network_has_no_rival(results: Load) -> None:
    found = results(
        FakeProject(wrong={"baseline": range(4)}, validation_wrong={"baseline": 2}, best="baseline")
    )
    assert statements.choice(found).startswith("Baseline is the only network that was trained.")
    assert statements.verdict(found, 0.95) == ""
    assert statements.wrong_by_all(found) == ""
    assert statements.search_gain(found) == ""
    assert statements.introduction(found)[0].startswith("One neural network learned")


def test_no_mistake_is_no_proof_of_perfection(results: Load) -> None:
    """0.05 = 0.9705 ** 100: an error rate of 2.95 % shows no error in 100 images once in 20 times."""
    found = results(FakeProject(wrong={"baseline": range(4), "transfer": (), "tuned": range(3)}))
    text = plain(statements.test_result(found.winner, 0.95))
    assert "makes no mistake" in text
    assert "up to 2.95 %" in text


def test_the_test_result_names_counts_and_interval(results: Load) -> None:
    found = results(TRANSFER_WINS)
    assert plain(statements.test_result(found.winner, 0.95)) == (
        "On test images it is right on 95 of the 100, which is 95.0 %. "
        "With that many images the 95 % interval reaches from 90.9 % to 98.2 %."
    )


def test_a_reference_that_is_not_beaten_is_named(results: Load) -> None:
    """The fake logistic regression is right on 60 %."""
    good = results(TRANSFER_WINS)
    assert "does no better" not in statements.against_references(good)
    bad = dataclasses.replace(good, candidates=(good.candidate("baseline"),), best={"candidate": "baseline"})
    bad.winner.scores["test"]["accuracy"] = 0.6
    text = plain(statements.against_references(bad))
    assert "60.0 % of the test images. Baseline does no better than the logistic regression." in text


def fit_of(candidate: Candidate) -> str:
    return statements.fit(diagnose(candidate.history, 5, 10_000), candidate.name.capitalize())


def test_curves_are_called_by_their_names(results: Load) -> None:
    found = results(FakeProject(curves={"baseline": "overfitting", "tuned": "underfitting"}))
    assert plain(fit_of(found.candidate("baseline"))) == (
        "Baseline overfits strongly: at epoch 5, whose weights were kept, it is right on 100.0 % of the "
        "training "
        "images and on 72.0 % of the validation images, a gap of 28.0 points. Its validation loss was "
        "lowest at "
        "epoch 3 and ended 12 % higher, while the training loss went on falling. "
        "More images, stronger augmentation or more regularization are the usual remedies."
    )
    assert fit_of(found.candidate("tuned")).startswith("Tuned underfits:")
    assert fit_of(found.candidate("transfer")).startswith("Transfer shows neither over- nor underfitting")


def with_test_predictions(candidate: Candidate, confidence: float, right: int, images: int) -> Candidate:
    probabilities = np.full((images, 2), 1 - confidence, dtype=np.float32)
    probabilities[:, 0] = confidence
    labels = np.array([0] * right + [1] * (images - right))
    predictions = Predictions(probabilities, labels, np.arange(images))
    return dataclasses.replace(candidate, predictions={"test": predictions})


@pytest.mark.parametrize(
    ("confidence", "right", "said"),
    [
        (0.99, 800, "is too sure of itself, by 19.0 points"),
        (0.70, 900, "is too cautious, by 20.0 points, as label smoothing (0.1) tends"),
        (0.90, 905, "is, on the whole, as sure as it should be"),
    ],
)
def test_confidence(results: Load, confidence: float, right: int, said: str) -> None:
    candidate = with_test_predictions(results(FakeProject()).winner, confidence, right, 1000)
    assert said in statements.calibration(candidate)


def test_hardest_and_easiest_classes(results: Load) -> None:
    """Ten test images per class in order: the first six wrong ones are of class 0, the next of class 1."""
    wrong = (*range(6), *range(10, 13))
    found = results(FakeProject(wrong={"baseline": wrong, "transfer": wrong, "tuned": wrong}))
    assert plain(statements.classes(found.winner)) == (
        "Hardest for Transfer is “0”: 4 of 10 test images recognized (40.0 %). "
        "Of “2”, “3”, “4”, “5”, “6” and 3 more it recognizes every test image. "
        "One image more or less changes a class's share by up to 10.0 points."
    )


def test_classes_that_are_all_alike(results: Load) -> None:
    everywhere = range(0, 100, 10)
    found = results(FakeProject(wrong={"baseline": everywhere, "transfer": everywhere, "tuned": ()}))
    assert "the same share of every class: 90.0" in statements.classes(found.winner)
    assert "every test image of every class" in statements.classes(found.candidate("tuned"))


def test_confusions() -> None:
    assert "makes no mistake" in statements.confusions([], "Tuned")
    assert "no pair of classes more than once" in statements.confusions(
        [("a", "b", 1, 9), ("b", "a", 1, 9)], "Tuned"
    )
    assert plain(statements.confusions([("a", "b", 4, 9), ("b", "a", 1, 9)], "Tuned")) == (
        "The most frequent confusion of Tuned: “a” taken for “b”, 4 of 9 test images of “a”."
    )


def test_images_that_no_network_gets_right(results: Load) -> None:
    together = results(TRANSFER_WINS)
    assert "wrong on 5\u00a0test images" in statements.wrong_by_all(together)


def test_images_that_some_network_gets_right(results: Load) -> None:
    found = results(FakeProject(wrong={"baseline": (1,), "transfer": (2,), "tuned": (3,)}))
    assert statements.wrong_by_all(found) == (
        "Every test image is named rightly by at least one of the networks."
    )


def test_duplicates_and_contradictions(results: Load) -> None:
    found = results(FakeProject(conflicting_labels=2, left_out_by_limit=1))
    assert plain(statements.duplicates(found)) == (
        "7 images in 3 groups are the same as another one, pixel by pixel. "
        "So that no test image is known beforehand, copies were taken out: 4 from train."
    )
    assert "2\u00a0groups of identical images the labels contradict" in statements.conflicting_labels(found)
    assert "1\u00a0image was left out" in statements.left_out(found)
    assert "1\u00a0file could not be used and was left out" in statements.rejected(found)


def test_nothing_to_clean_up(results: Load) -> None:
    none = {"groups": 0, "images": 0, "removed_from_train": 0, "removed_from_validation": 0}
    found = results(FakeProject(duplicates=none, rejected=()))
    assert statements.duplicates(found) == "No image occurs twice, pixel by pixel."
    assert statements.conflicting_labels(found) == ""
    assert statements.left_out(found) == ""
    assert statements.rejected(found) == "Every file could be read."


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([50, 50], "Every class has 50 training images."),
        ([50, 54], "The classes are about equally frequent: 50 to 54 training images each."),
        ([20, 60], "The classes differ in size: “b” has 60 training images, “a” only 20, 3.0 times fewer."),
    ],
)
def test_class_sizes(counts: list[int], said: str) -> None:
    assert plain(statements.class_sizes(np.array(counts), ["a", "b"])) == said


def test_augmentation_names_what_is_on() -> None:
    off = AugmentationParams(**NO_AUGMENTATION)
    assert "turned off" in statements.augmentation(off)
    on = AugmentationParams(**{**NO_AUGMENTATION, "horizontal_flip": True, "shift": 0.125})
    text = plain(statements.augmentation(on))
    assert "it may be mirrored left to right and shifted by up to 12.5 % of its side." in text
    assert "rotated" not in text


def test_the_search(results: Load) -> None:
    found = results(FakeProject())
    assert plain(statements.search(found)) == (
        "The search trained 4 settings briefly (1 failed) and compared them on the validation images: "
        "their accuracies reach from 85.0 % to 92.0 %."
    )
    assert found.best_trial is not None
    assert found.best_trial.name == "0001"
    assert "better than Baseline on the validation images: 92.5 % against 90.0 % (+2.5 points)" in plain(
        statements.search_gain(found)
    )
    assert statements.searched_augmentation(found) == ""


def test_the_search_may_have_made_it_worse(results: Load) -> None:
    found = results(FakeProject(validation_wrong={"baseline": 1, "transfer": 0, "tuned": 5}))
    assert "does worse than Baseline" in statements.search_gain(found)


def test_nested_hyperparameters() -> None:
    assert statements.flattened({"lr": 0.1, "a": {"b": {"c": 1}, "d": []}}) == [
        ("lr", 0.1),
        ("a.b.c", 1),
        ("a.d", []),
    ]
