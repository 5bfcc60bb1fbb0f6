"""Curves, trials and heatmaps made by hand, of which a person would say the same."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from pipeline.reporting.diagnosis import Verdict, diagnose, effects, measure_attention
from pipeline.reporting.results import History, Trial
from pipeline.scoring.explanations import Explanations
from pipeline.scoring.predictions import Predictions

MANY = 10_000
"""So many validation images that chance plays no part."""


def history(
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
    found = diagnose(history([0.5, 0.8, 0.99], [0.5, 0.7, 0.75]), 3, MANY)
    assert found.verdict is Verdict.OVERFITTING
    assert found.gap == pytest.approx(0.24)
    assert found.gap_is_large


def test_a_gap_that_few_images_explain_by_chance_is_none() -> None:
    """With 20 validation images, 90 % is known to within 13 points."""
    curves = history([0.6, 0.8, 0.95], [0.6, 0.8, 0.90])
    assert diagnose(curves, 3, 20).verdict is Verdict.BALANCED
    assert diagnose(curves, 3, MANY).verdict is Verdict.OVERFITTING


def test_a_rising_validation_loss_is_overfitting_even_where_accuracies_agree() -> None:
    found = diagnose(
        history([0.90, 0.91, 0.92], [0.90, 0.91, 0.91], loss=[0.5, 0.4, 0.3], val_loss=[0.5, 0.4, 0.48]),
        2,
        MANY,
    )
    assert found.verdict is Verdict.OVERFITTING
    assert found.loss_rises
    assert found.lowest_loss_epoch == 2
    assert found.loss_rise == pytest.approx(0.2)


def test_a_validation_loss_that_rises_together_with_the_training_loss_is_something_else() -> None:
    """A learning rate that is too high: both get worse."""
    found = diagnose(
        history([0.95, 0.93, 0.92], [0.95, 0.93, 0.92], loss=[0.3, 0.4, 0.5], val_loss=[0.3, 0.4, 0.5]),
        1,
        MANY,
    )
    assert found.verdict is Verdict.BALANCED
    assert not found.loss_rises


def test_low_training_accuracy_without_a_gap_is_underfitting() -> None:
    found = diagnose(history([0.3, 0.4, 0.5], [0.3, 0.41, 0.51]), 3, MANY)
    assert found.verdict is Verdict.UNDERFITTING
    assert found.gap < 0


def test_high_and_equal_is_balanced() -> None:
    assert diagnose(history([0.7, 0.9, 0.97], [0.7, 0.9, 0.965]), 3, MANY).verdict is Verdict.BALANCED


def test_the_kept_epoch_is_judged_not_the_last() -> None:
    """Early stopping: the best weights came back before the network learned by heart."""
    curves = history([0.8, 0.93, 0.99], [0.8, 0.92, 0.92], val_loss=[0.5, 0.3, 0.31])
    assert diagnose(curves, 2, MANY).verdict is Verdict.BALANCED
    assert diagnose(curves, 3, MANY).verdict is Verdict.OVERFITTING


def test_still_improving_looks_at_the_last_fifth() -> None:
    falling = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.45, 0.4, 0.36, 0.3]
    level = [*falling[:8], 0.399, 0.398]
    accuracy = [0.5] * 10
    improving = diagnose(history(accuracy, accuracy, val_loss=falling), 10, MANY)
    assert improving.last_epochs == 2
    assert improving.late_fall == pytest.approx(0.25)
    assert improving.still_improving
    assert not diagnose(history(accuracy, accuracy, val_loss=level), 10, MANY).still_improving


def test_a_single_epoch_says_nothing_about_improvement() -> None:
    found = diagnose(history([0.5], [0.5]), 1, MANY)
    assert found.late_fall == 0.0
    assert not found.still_improving


def trial(accuracy: float | None, epochs: int = 3, **hyperparameters: str) -> Trial:
    return Trial("t", accuracy is not None, epochs, None, accuracy, hyperparameters)


def test_effects_are_scipys_rank_correlations_the_strongest_first() -> None:
    rates, widths = [0.1, 0.4, 0.2, 0.8, 0.3], [1.0, 2.0, 2.0, 1.0, 3.0]
    accuracies = [0.7, 0.8, 0.72, 0.6, 0.9]
    trials = [
        trial(accuracy, lr=str(rate), width=str(width), optimizer="sgd", patience="5")
        for accuracy, rate, width in zip(accuracies, rates, widths, strict=True)
    ]
    width, rate = effects(trials)
    assert (width.name, rate.name) == ("width", "lr")
    assert width.correlation == pytest.approx(spearmanr(widths, accuracies).statistic)
    assert rate.correlation == pytest.approx(spearmanr(rates, accuracies).statistic)


def test_p_values_count_all_orders() -> None:
    """Of the 24 orders of four values, the sorted and the reversed one correlate as strongly."""
    (found,) = effects([trial(0.1 * i, lr=str(i)) for i in range(1, 5)])
    assert found.correlation == pytest.approx(1.0)
    assert found.p_value == pytest.approx(2 / 24)


def test_too_few_failed_and_short_trials_say_nothing() -> None:
    whole = [trial(0.1 * i, lr=str(i)) for i in range(1, 4)]
    assert effects([*whole, trial(None, lr="9"), trial(0.9, epochs=1, lr="8")]) == ()
    assert effects([]) == ()
    assert effects([trial(0.5, lr=str(i)) for i in range(5)]) == ()


def explained(heatmaps: np.ndarray) -> Explanations:
    count = len(heatmaps)
    return Explanations(
        rows=np.arange(count),
        heatmaps=heatmaps.astype(np.float32),
        heatmap_method="hires_cam",
        heatmap_layer="conv",
        feature_rows=np.zeros(0, np.int64),
        feature_maps={},
        feature_channels={},
        filters=None,
        map_rows=np.arange(count),
        pca=np.zeros((count, 2), np.float32),
        tsne=np.zeros((count, 2), np.float32),
        explained_variance=np.zeros(2, np.float32),
    )


def test_attention_by_hand() -> None:
    """A right answer, hot in the middle 2x2 of 4x4; a mistake, hot in one corner; one that is empty."""
    heatmaps = np.zeros((3, 4, 4))
    heatmaps[0, 1:3, 1:3] = 1.0
    heatmaps[1, 0, 0] = 1.0
    predictions = Predictions(
        np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]], np.float32), np.array([0, 1, 1]), np.arange(3)
    )
    found = measure_attention(explained(heatmaps), predictions)
    assert (found.right, found.wrong, found.empty) == (1, 1, 1)
    assert (found.right_extent, found.wrong_extent) == (4 / 16, 1 / 16)
    assert found.middle == 0.5


@pytest.mark.parametrize("side", [1, 2, 3, 4, 7, 8])
def test_even_heat_gives_the_middle_its_area(side: int) -> None:
    predictions = Predictions(np.array([[0.9, 0.1]], np.float32), np.array([0]), np.arange(1))
    found = measure_attention(explained(np.ones((1, side, side))), predictions)
    assert found.middle == pytest.approx(0.25)
