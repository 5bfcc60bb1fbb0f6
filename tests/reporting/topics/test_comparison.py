"""What is said and drawn about the models beside each other must change with the figures."""

import dataclasses

import numpy as np

from pipeline.reporting.topics.comparison.accuracy import (
    MeasuredAccuracy,
    accuracy_figure,
    against_references,
    choice,
    on_test_images,
    verdict,
)
from pipeline.reporting.topics.comparison.classes import hardest_and_easiest, per_class_figure
from pipeline.reporting.topics.comparison.pairs import against, which_is_better
from pipeline.reporting.topics.mistakes.section import wrong_by_all
from pipeline.reporting.topics.summary import introduction
from pipeline.scoring.intervals import Interval
from pipeline.scoring.paired import Comparison
from pipeline.scoring.scores import Scores
from tests.reporting.fake_project import FakeProject
from tests.reporting.reading import Load, changed, lines, panels, plain
from tests.scoring.made_scores import made_scores

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
    assert plain(choice(found)) == (
        "Transfer is the model of choice: it is right on 38 of the 40 validation images (95.0 %), "
        "10 images more than Tuned (70.0 %)."
    )
    assert verdict(found, 0.95) == (
        "On the test images it beats every other network by more than chance explains."
    )
    test = found.tests_of_winner[0]
    assert plain(against(test, 0.95, 1)) == (
        "Transfer is better than Baseline on the test images by more than chance explains "
        "(+35.0 points, 95 % interval +23.4 points to +46.6 points, p < 0.001)."
    )


def test_baseline_wins(results: Load) -> None:
    found = results(BASELINE_WINS)
    assert choice(found).startswith("Baseline is the model of choice")
    assert "beats every other network" in verdict(found, 0.95)


def test_a_tie_within_noise(results: Load) -> None:
    """Each is wrong on ten images, one of them another one: nothing to tell them apart."""
    found = results(TIE)
    assert verdict(found, 0.95) == (
        "On the test images no other network differs from it by more than chance explains."
    )
    test = found.tests_of_winner[0]
    assert plain(against(test, 0.95, 1)) == (
        "The test images do not decide between Transfer and Baseline "
        "(0.0 points, 95 % interval −2.8 points to +2.8 points, p = 1.000)."
    )


def test_an_interval_that_says_more_than_the_test_is_explained() -> None:
    found = Comparison(
        only_first_right=4,
        only_second_right=0,
        p_value=0.125,
        accuracy_difference=4 / 359,
        interval=Interval(0.003, 0.022),
    )
    assert plain(which_is_better(found, "Tuned", "Transfer", 0.95, 1)) == (
        "The test images do not decide between Tuned and Transfer (+1.1 points, 95 % interval +0.3 points to "
        "+2.2 points, p = 0.125). The interval leaves out 0, but is too narrow to go by where 4 images tell "
        "them apart."
    )


def test_a_choice_that_the_test_images_do_not_confirm_is_said_so(results: Load) -> None:
    found = results(UNLUCKY)
    assert "1\u00a0image more than Baseline" in choice(found)
    assert verdict(found, 0.95) == ""
    test = found.tests_of_winner[0]
    assert plain(against(test, 0.95, 1)).startswith(
        "Baseline is better than Transfer on the test images by more than chance explains (+"
    )


def test_the_same_mistakes(results: Load) -> None:
    found = results(FakeProject(wrong={"baseline": range(5), "transfer": range(5), "tuned": range(6)}))
    test = found.tests_of_winner[0]
    assert against(test, 0.95, 1) == (
        "Transfer and Baseline are right and wrong on the very same test images."
    )


def test_equal_validation_accuracy_was_decided_by_log_loss(results: Load) -> None:
    found = results(dataclasses.replace(TIE, validation_wrong={"baseline": 9, "transfer": 3, "tuned": 3}))
    for name, log_loss in (("transfer", 0.25), ("tuned", 0.5)):
        found = changed(found, name, validation={"log_loss": log_loss})
    assert "as many as Tuned, and its probabilities are better (log loss 0.250 against 0.500)" in (
        choice(found)
    )


def test_a_single_network_has_no_rival(results: Load) -> None:
    found = results(
        FakeProject(wrong={"baseline": range(4)}, validation_wrong={"baseline": 2}, best="baseline")
    )
    assert choice(found).startswith("Baseline is the only network that was trained.")
    assert verdict(found, 0.95) == ""
    assert wrong_by_all(found) == ""
    assert introduction(found)[0].startswith("One neural network learned")


def test_no_mistake_is_no_proof_of_perfection(results: Load) -> None:
    """0.05 = 0.9705 ** 100: an error rate of 2.95 % shows no error in 100 images once in 20 times."""
    found = results(FakeProject(wrong={"baseline": range(4), "transfer": (), "tuned": range(3)}))
    text = plain(on_test_images(found.winner, 0.95))
    assert "makes no mistake" in text
    assert "up to 2.95 %" in text


def test_the_test_result_names_counts_and_interval(results: Load) -> None:
    found = results(TRANSFER_WINS)
    assert plain(on_test_images(found.winner, 0.95)) == (
        "It is right on 95 of the 100 test images, which is 95.0 %. "
        "With that many images, the 95 % interval ranges from 90.9 % to 98.2 %."
    )


def test_a_reference_that_is_not_beaten_is_named(results: Load) -> None:
    """The fake logistic regression is right on 60 %."""
    good = results(TRANSFER_WINS)
    assert "does no better" not in against_references(good)
    bad = dataclasses.replace(changed(good, "baseline", test={"accuracy": 0.6}), best="baseline")
    text = plain(against_references(bad))
    assert "gets 60.0 % right. Baseline does no better than the logistic regression." in text


def test_hardest_and_easiest_classes(results: Load) -> None:
    """Ten test images per class in order: the first six wrong ones are of class 0, the next of class 1."""
    wrong = (*range(6), *range(10, 13))
    found = results(FakeProject(wrong={"baseline": wrong, "transfer": wrong, "tuned": wrong}))
    assert plain(hardest_and_easiest(found.winner)) == (
        "Hardest for Transfer is “0”: 4 of 10 test images recognized (40.0 %). "
        "Of “2”, “3”, “4”, “5”, “6” and 3 more it recognizes every test image. "
        "One image more or less changes a class's share by up to 10.0 points."
    )


def test_classes_that_are_all_alike(results: Load) -> None:
    everywhere = range(0, 100, 10)
    found = results(FakeProject(wrong={"baseline": everywhere, "transfer": everywhere, "tuned": ()}))
    assert "the same share of every class: 90.0" in hardest_and_easiest(found.winner)
    assert "every test image of every class" in hardest_and_easiest(found.candidate("tuned"))


def measured(low: float, accuracy: float, high: float) -> Scores:
    return made_scores(100, accuracy=accuracy, accuracy_interval=Interval(low, high))


def test_accuracies_with_their_intervals() -> None:
    rows = [
        MeasuredAccuracy("Baseline", "baseline", measured(0.90, 0.92, 0.94), 0.93),
        MeasuredAccuracy("Majority class", None, measured(0.08, 0.10, 0.12), None),
    ]
    everything, enlarged = panels(accuracy_figure(rows, "Title"))
    assert lines(everything, "Baseline") == [([0.92], [0])]
    assert lines(everything, "Majority class") == [([0.10], [1])]
    assert list(everything.lines[0].get_xdata()) == [0.90, 0.94]
    assert lines(enlarged, "Baseline") == [([0.92], [0])]
    assert lines(enlarged, "Majority class") == []
    assert everything.get_xlim()[0] == 0


def test_per_class_scores() -> None:
    axes = panels(per_class_figure({"baseline": np.array([0.5, 0.9])}, ["a", "b"], "Title"))[0]
    assert list(axes.lines[0].get_xdata()) == [0.5, 0.9]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
