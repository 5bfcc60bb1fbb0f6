"""Advice is given where the figures call for it, and not elsewhere."""

import dataclasses
from collections.abc import Iterable

import numpy as np
import pytest

from pipeline.params.augmentation import AugmentationParams
from pipeline.reporting.results import SearchedSetting
from pipeline.reporting.topics.outlook import Entry, limits, next_steps, strengths
from tests.reporting.fake_project import NO_AUGMENTATION, FakeProject
from tests.reporting.reading import Load, changed, plain

NONE = AugmentationParams(**NO_AUGMENTATION)


def text_of(entries: Iterable[Entry]) -> str:
    return plain(" ".join(f"{title}: {reason}" for title, reason in entries))


def test_a_good_network_is_praised_for_what_it_does(results: Load) -> None:
    """Transfer: 95 of 100 against 60 of the fake logistic regression: 40 mistakes against 5."""
    text = text_of(strengths(results(FakeProject())))
    assert (
        "95.0 % of the test images right, against 60.0 % of the best simple reference, 8.0 times fewer"
        in text
    )
    assert "8 classes are found at 95 % or more: Of “2”, “3”, “4”, “5”, “6” and 3 more" in text
    assert "It does about as well on images that it has not learned from" in text


def test_a_bad_network_is_not(results: Load) -> None:
    everything = range(100)
    bad = FakeProject(
        wrong={"baseline": everything, "transfer": everything, "tuned": everything},
        curves={"transfer": "overfitting"},
    )
    found = changed(results(bad), "transfer", test={"ece": 0.5})
    titles = [title for title, _ in strengths(found)]
    assert titles == ["No other network is lighter"]


def test_no_mistake_divides_by_nothing(results: Load) -> None:
    found = results(FakeProject(wrong={"baseline": (), "transfer": (), "tuned": ()}))
    text = text_of(strengths(found))
    assert "best simple reference." in text
    assert "Every class is found at 95 % or more" in text
    assert "Look at the labels" not in text_of(next_steps(found, NONE))


def test_weak_classes_and_few_images_are_limits(results: Load) -> None:
    """Transfer misses 3 of the 10 images of class 0 and 2 of class 1."""
    text = text_of(limits(results(FakeProject()), 0.95))
    assert "1 class is found at less than 80 %: Recall of “0” (70 %)" in text
    assert "With fewer than 30, a class's figures are mostly chance, and none has more than 10." in text
    assert "interval is 7.3 points wide" in text
    assert "The test images do not tell it apart from Baseline and Tuned." in text


def test_a_clear_lead_is_not_called_luck(results: Load) -> None:
    clear = FakeProject(wrong={"baseline": range(40), "transfer": range(5), "tuned": range(30)})
    assert "may be as good" not in text_of(limits(results(clear), 0.95))


@pytest.mark.parametrize("curves", ["balanced", "overfitting", "underfitting"])
def test_fitting_decides_what_to_try(results: Load, curves: str) -> None:
    said = text_of(next_steps(results(FakeProject(curves={"transfer": curves})), NONE))
    remedies = {
        "overfitting": "raise train_transfer.weight_decay or train_transfer.dropout",
        "underfitting": "try another backbone",
    }
    assert {name for name, remedy in remedies.items() if remedy in said} == {curves} - {"balanced"}


def test_augmentation_that_is_off_is_named(results: Load) -> None:
    found = results(FakeProject(curves={"transfer": "overfitting"}))
    on = AugmentationParams(**{**NO_AUGMENTATION, "horizontal_flip": True})
    assert "(now off: horizontal_flip, vertical_flip" in text_of(next_steps(found, NONE))
    assert "(now off: vertical_flip" in text_of(next_steps(found, on))


def test_the_tuned_network_is_improved_in_the_search(results: Load) -> None:
    found = results(FakeProject(best="tuned", curves={"tuned": "overfitting"}))
    text = text_of(next_steps(found, NONE))
    assert "let the search try more weight decay and dropout (tune.space)" in text
    assert "train_baseline.weight_decay" not in text


def test_labels_on_which_all_disagree(results: Load) -> None:
    """Rows 0, 4, 8, 12 and 16 are wrong for all, and each names the next class."""
    assert "On 5 test images all networks agree" in text_of(next_steps(results(FakeProject()), NONE))


def test_uneven_classes(results: Load) -> None:
    found = results(FakeProject())
    assert "Even out" not in text_of(next_steps(found, NONE))
    labels = found.subsets["train"].labels.copy()
    labels[labels == 1] = np.where(np.arange(8) < 6, 0, 1)
    train = dataclasses.replace(found.subsets["train"], labels=labels)
    uneven = dataclasses.replace(found, subsets={**found.subsets, "train": train})
    assert "7.0 times the training images of the smallest" in text_of(next_steps(uneven, NONE))


def test_a_setting_at_the_edge_of_what_was_tried(results: Load) -> None:
    def trial(lr: float, dropout: float, accuracy: float) -> SearchedSetting:
        return SearchedSetting(str(lr), True, 3, 0.1, accuracy, {"lr": str(lr), "dropout": str(dropout)})

    found = dataclasses.replace(
        results(FakeProject()),
        trials=(trial(0.1, 0.1, 0.7), trial(0.2, 0.3, 0.8), trial(0.3, 0.2, 0.9)),
        best_hyperparameters={"lr": 0.3, "dropout": 0.2},
    )
    assert "the outermost that were tried: lr 0.3 (largest). Values beyond" in text_of(
        next_steps(found, NONE)
    )


@pytest.mark.parametrize(
    ("accuracy", "smoothing", "said"),
    [
        (0.99, 0.1, "too cautious: lower train_transfer.label_smoothing"),
        (0.99, 0.0, "too cautious: train longer"),
        (0.5, 0.1, "too sure: raise train_transfer.label_smoothing"),
    ],
)
def test_confidence_that_is_off(results: Load, accuracy: float, smoothing: float, said: str) -> None:
    found = changed(results(FakeProject()), "transfer", test={"ece": 0.1, "accuracy": accuracy})
    found.winner.card.hyperparameters["train_transfer"]["label_smoothing"] = smoothing
    assert said in text_of(next_steps(found, NONE))


def test_only_some_classes_with_few_test_images(results: Load) -> None:
    found = results(FakeProject(test_per_class=30))
    assert "few test images" not in text_of(limits(found, 0.95))
    rare = dataclasses.replace(found.winner.classes[3], support=29)
    classes = (*found.winner.classes[:3], rare, *found.winner.classes[4:])
    text = text_of(limits(changed(found, "transfer", classes=classes), 0.95))
    assert "With fewer than 30, a class's figures are mostly chance: “3” (29)." in text
