"""Curves made by hand, of which a person would say the same."""

import numpy as np
import pytest

from pipeline.reporting.results import Candidate, History
from pipeline.reporting.topics.training.figures import training_curves_figure, validation_accuracy_figure
from pipeline.reporting.topics.training.overfitting import Fit, diagnose, fit_sentence
from tests.reporting.fake_project import FakeProject
from tests.reporting.reading import Load, lines, panels, plain, texts

MANY = 10_000
"""So many validation images that chance plays no part."""


def curves_of(
    accuracy: list[float],
    val_accuracy: list[float],
    loss: list[float] | None = None,
    val_loss: list[float] | None = None,
) -> History:
    epochs = len(accuracy)
    return History(
        phases=("train",) * epochs,
        epochs=np.arange(1, epochs + 1),
        loss=np.array(loss or [1 - value for value in accuracy]),
        accuracy=np.array(accuracy),
        val_loss=np.array(val_loss or [1 - value for value in val_accuracy]),
        val_accuracy=np.array(val_accuracy),
        learning_rate=np.full(epochs, 0.1),
    )


def test_a_gap_is_overfitting() -> None:
    found = diagnose(curves_of([0.5, 0.8, 0.99], [0.5, 0.7, 0.75]), 3, MANY)
    assert found.fit is Fit.OVERFITTING
    assert found.gap == pytest.approx(0.24)


def test_a_gap_that_few_images_explain_by_chance_is_none() -> None:
    """With 20 validation images, 90 % is known to within 13 points."""
    curves = curves_of([0.6, 0.8, 0.95], [0.6, 0.8, 0.90])
    assert diagnose(curves, 3, 20).fit is Fit.BALANCED
    assert diagnose(curves, 3, MANY).fit is Fit.OVERFITTING


def test_a_rising_validation_loss_is_overfitting_even_where_accuracies_agree() -> None:
    found = diagnose(
        curves_of([0.90, 0.91, 0.92], [0.90, 0.91, 0.91], loss=[0.5, 0.4, 0.3], val_loss=[0.5, 0.4, 0.48]),
        2,
        MANY,
    )
    assert found.fit is Fit.OVERFITTING
    assert found.loss_rises
    assert found.lowest_loss_epoch == 2
    assert found.loss_rise == pytest.approx(0.2)


def test_a_validation_loss_that_rises_together_with_the_training_loss_is_something_else() -> None:
    """A learning rate that is too high: both get worse."""
    found = diagnose(
        curves_of([0.95, 0.93, 0.92], [0.95, 0.93, 0.92], loss=[0.3, 0.4, 0.5], val_loss=[0.3, 0.4, 0.5]),
        1,
        MANY,
    )
    assert found.fit is Fit.BALANCED
    assert not found.loss_rises


def test_low_training_accuracy_without_a_gap_is_underfitting() -> None:
    found = diagnose(curves_of([0.3, 0.4, 0.5], [0.3, 0.41, 0.51]), 3, MANY)
    assert found.fit is Fit.UNDERFITTING
    assert found.gap < 0


def test_high_and_equal_is_balanced() -> None:
    assert diagnose(curves_of([0.7, 0.9, 0.97], [0.7, 0.9, 0.965]), 3, MANY).fit is Fit.BALANCED


def test_the_kept_epoch_is_judged_not_the_last() -> None:
    """Early stopping: the best weights came back before the network learned by heart."""
    curves = curves_of([0.8, 0.93, 0.99], [0.8, 0.92, 0.92], val_loss=[0.5, 0.3, 0.31])
    assert diagnose(curves, 2, MANY).fit is Fit.BALANCED
    assert diagnose(curves, 3, MANY).fit is Fit.OVERFITTING


def test_still_improving_looks_at_the_last_fifth() -> None:
    falling = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.45, 0.4, 0.36, 0.3]
    level = [*falling[:8], 0.399, 0.398]
    accuracy = [0.5] * 10
    improving = diagnose(curves_of(accuracy, accuracy, val_loss=falling), 10, MANY)
    assert improving.last_epochs == 2
    assert improving.late_fall == pytest.approx(0.25)
    assert improving.still_improving
    assert not diagnose(curves_of(accuracy, accuracy, val_loss=level), 10, MANY).still_improving


def test_a_single_epoch_says_nothing_about_improvement() -> None:
    found = diagnose(curves_of([0.5], [0.5]), 1, MANY)
    assert found.late_fall == 0.0
    assert not found.still_improving


def fit_of(candidate: Candidate) -> str:
    return fit_sentence(diagnose(candidate.history, 5, MANY), candidate.title)


def test_curves_are_called_by_their_names(results: Load) -> None:
    found = results(FakeProject(curves={"baseline": "overfitting", "tuned": "underfitting"}))
    assert plain(fit_of(found.candidate("baseline"))) == (
        "Baseline overfits strongly: at epoch 5, whose weights were kept, it is right on 100.0 % of the "
        "training "
        "images and on 72.0 % of the validation images, a gap of 28.0 points. Its validation loss was "
        "lowest at "
        "epoch 3 and ended 12 % higher, while the training loss kept falling. "
        "More images, stronger augmentation or more regularization are the usual remedies."
    )
    assert fit_of(found.candidate("tuned")).startswith("Tuned underfits:")
    assert fit_of(found.candidate("transfer")).startswith("Transfer shows neither over- nor underfitting")


@pytest.fixture
def history() -> History:
    return History(
        phases=("head", "head", "fine_tune"),
        epochs=np.array([1, 2, 3]),
        loss=np.array([0.9, 0.6, 0.3]),
        accuracy=np.array([0.5, 0.6, 0.8]),
        val_loss=np.array([1.0, 0.7, 0.5]),
        val_accuracy=np.array([0.4, 0.6, 0.7]),
        learning_rate=np.array([0.1, 0.2, 0.05]),
    )


def test_training_curves_hold_the_history(history: History) -> None:
    accuracy, loss, rate = panels(training_curves_figure(history, 2, "Title"))
    curves = {line.get_label(): list(line.get_ydata()) for line in accuracy.lines}
    assert curves["training images"] == [0.5, 0.6, 0.8]
    assert curves["validation images"] == [0.4, 0.6, 0.7]
    assert list(loss.lines[0].get_ydata()) == [0.9, 0.6, 0.3]
    assert list(loss.lines[1].get_ydata()) == [1.0, 0.7, 0.5]
    assert list(rate.lines[0].get_ydata()) == [0.1, 0.2, 0.05]
    assert rate.get_xlabel() == "epoch"


def test_training_curves_mark_phases_and_the_kept_epoch(history: History) -> None:
    for axes in panels(training_curves_figure(history, 2, "Title")):
        assert lines(axes, "kept epoch")[0][0] == [2, 2]
        assert lines(axes, "phase")[0][0] == [2.5, 2.5]
    names = texts(panels(training_curves_figure(history, 2, "Title"))[0])
    assert names == ["head only", "fine-tuning"]


def test_a_single_phase_is_not_marked(history: History) -> None:
    whole = History(**{**vars(history), "phases": ("train",) * 3})
    axes = panels(training_curves_figure(whole, 3, "Title"))[0]
    assert lines(axes, "phase") == []
    assert texts(axes) == []


def test_validation_curves_lie_over_each_other(history: History) -> None:
    axes = panels(validation_accuracy_figure({"baseline": history, "tuned": history}))[0]
    assert [line.get_label() for line in axes.lines] == ["Baseline", "Tuned"]
    assert axes.lines[0].get_color() != axes.lines[1].get_color()
    assert axes.lines[0].get_marker() != axes.lines[1].get_marker()
