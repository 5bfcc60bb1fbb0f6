"""Fitting: learning at all, the best weights, divergence, class weights, and what the history says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from pipeline.images.arrays import ChannelStatistics
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.networks.from_scratch import build_from_scratch
from pipeline.params.fitting import FittingParams
from pipeline.params.train_baseline import NetworkName
from pipeline.training.data import TrainingData
from pipeline.training.fitting import DivergedError, EpochResult, FitPlan, OnEpoch, best_index, fit
from tests.training import tiny

pytestmark = pytest.mark.usefixtures("eager")

STATISTICS = ChannelStatistics((90.0,), (75.0,))


def plan(**changes: Any) -> FitPlan:
    """`changes` are those of the plan and of its params."""
    params = {name: changes.pop(name, value) for name, value in tiny.FITTING.items()}
    values = {
        "phase": "train",
        "epochs_before": 0,
        "epochs": 2,
        "batch_size": 20,
        "learning_rate": 0.05,
        "params": FittingParams(**params),
        "augmentation": tiny.augmentation(),
        "seed": 0,
    }
    return FitPlan(**{**values, **changes})


def data() -> TrainingData:
    spec = PreprocessingSpec(tiny.SIZE, "pad", "grayscale", tiny.CLASSES)
    return TrainingData(tiny.subset(40, 1), tiny.subset(15, 2), STATISTICS, spec, digest="")


def network(name: NetworkName = "dense", dropout: float = 0.0) -> keras.Model:
    keras.utils.set_random_seed(0)
    return build_from_scratch(name, tiny.subset(40, 1).images, 3, STATISTICS, (8, 8), dropout)


@pytest.mark.parametrize("name", ["fast_cnn", "small_cnn", "dense"])
def test_learns_what_is_easy(name: NetworkName, tmp_path: Path) -> None:
    history = fit(network(name), data(), plan(epochs=6, batch_size=8), tmp_path, tiny.ignore)
    assert [result.epoch for result in history] == list(range(1, 7))
    assert history[-1].val_accuracy == 1.0
    assert history[-1].loss < history[0].loss


def loss_and_accuracy(model: keras.Model, label_smoothing: float) -> tuple[float, float]:
    """Of the validation images, by NumPy."""
    validation = data().validation
    logits = model.predict_on_batch(validation.images)
    logarithms = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    targets = np.eye(3)[validation.labels] * (1 - label_smoothing) + label_smoothing / 3
    accuracy = (logits.argmax(axis=1) == validation.labels).mean()
    return float(-(targets * logarithms).sum(axis=1).mean()), float(accuracy)


def test_history_tells_what_keras_evaluates(tmp_path: Path) -> None:
    model = network()
    seen: list[EpochResult] = []
    history = fit(
        model,
        data(),
        plan(phase="head", epochs_before=7, batch_size=8, warmup_share=0.5, label_smoothing=0.2),
        tmp_path,
        lambda result, speed: seen.append(result),
    )
    assert history == seen
    assert [(result.phase, result.epoch) for result in history] == [("head", 8), ("head", 9)]
    # 5 steps an epoch, 5 of 10 warm up: the peak at the fifth, a fifth of it left for the tenth.
    assert [result.learning_rate for result in history] == pytest.approx([0.05, 0.01])
    assert (history[-1].val_loss, history[-1].val_accuracy) == pytest.approx(
        loss_and_accuracy(model, label_smoothing=0.2), rel=1e-4
    )


def test_early_stopping_brings_the_best_weights_back(tmp_path: Path) -> None:
    model = network()
    # Far too fast after a good start: the validation loss rises and patience runs out.
    history = fit(
        model,
        data(),
        plan(epochs=12, learning_rate=1.5, schedule="warmup", warmup_share=0.9, early_stopping_patience=2),
        tmp_path,
        tiny.ignore,
    )
    losses = [result.val_loss for result in history]
    best = losses.index(min(losses))
    assert best_index(history) == best
    assert len(history) == best + 3 < 12
    assert (losses[best], history[best].val_accuracy) == pytest.approx(
        loss_and_accuracy(model, label_smoothing=0.1), rel=1e-4
    )
    assert losses[-1] > losses[best] * 1.01


def test_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match="train: the loss is no longer finite in epoch 1") as caught:
        fit(network(), data(), plan(learning_rate=1e30, schedule="constant"), tmp_path, tiny.ignore)
    assert "learning rate of 1e+30" in str(caught.value.found)
    assert "lower lr" in str(caught.value.remedy)


def test_a_validation_loss_that_is_not_finite(tmp_path: Path) -> None:
    """One step per epoch: its loss is finite, the weights after it are not."""
    seen: list[EpochResult] = []
    with pytest.raises(DivergedError, match="validation loss is no longer finite in epoch 1"):
        fit(
            network(),
            data(),
            plan(batch_size=40, learning_rate=float(np.finfo(np.float32).max), schedule="constant"),
            tmp_path,
            lambda result, speed: seen.append(result),
        )
    assert seen == []


def test_class_weights_reach_the_loss(tmp_path: Path) -> None:
    """A training set of one class out of three: its weight is a third, and so is the loss."""
    train = data().train
    one_class = type(train)(train.images[::3], train.labels[::3], train.ids[::3])
    lopsided = replace(data(), train=one_class)
    still: dict[str, Any] = {"epochs": 1, "learning_rate": 1e-9, "weight_decay": 0.0, "batch_size": 14}
    losses = {}
    for kind in ("none", "balanced"):
        settings = plan(**still, class_weights=kind)
        losses[kind] = fit(network(), lopsided, settings, tmp_path / kind, tiny.ignore)[0].loss
    assert losses["balanced"] == pytest.approx(losses["none"] / 3, rel=1e-4)


def test_dropout_masks_differ_between_epochs(tmp_path: Path) -> None:
    """With nothing learned and one batch an epoch, the loss changes by the masks alone."""
    still: dict[str, Any] = {"epochs": 3, "learning_rate": 1e-9, "weight_decay": 0.0, "batch_size": 40}
    history = fit(network(dropout=0.5), data(), plan(**still), tmp_path, tiny.ignore)
    assert len({round(result.loss, 5) for result in history}) == 3


class Killed(BaseException):
    """As sudden as SIGKILL, as far as fit is concerned."""


def killed_after(epoch: int) -> OnEpoch:
    def on_epoch(result: EpochResult, images_per_second: float) -> None:
        if result.epoch == epoch:
            raise Killed

    return on_epoch


@pytest.mark.parametrize(
    ("name", "dropout", "changes"),
    [
        ("small_cnn", 0.3, {"optimizer": "sgd"}),
        ("dense", 0.3, {"optimizer": "adam", "augmentation": tiny.augmentation(shift=0.2, mixup=0.5)}),
        # Stops after the third epoch, with the weights of the first.
        ("dense", 0.0, {"learning_rate": 1.5, "schedule": "constant", "early_stopping_patience": 2}),
    ],
)
def test_a_killed_fit_ends_as_an_undisturbed_one(
    name: NetworkName, dropout: float, changes: dict[str, Any], tmp_path: Path
) -> None:
    settings = plan(epochs=5, **changes)
    undisturbed = network(name, dropout)
    expected = fit(undisturbed, data(), settings, tmp_path / "undisturbed", tiny.ignore)
    for epoch in (2, 3):
        with pytest.raises(Killed):
            fit(network(name, dropout), data(), settings, tmp_path / "killed", killed_after(epoch))
    seen: list[EpochResult] = []
    resumed = network(name, dropout)
    history = fit(resumed, data(), settings, tmp_path / "killed", lambda result, speed: seen.append(result))
    assert history == expected
    # The epoch in which it was killed is trained and reported again, earlier ones are not.
    assert [result.epoch for result in seen] == list(range(3, len(history) + 1))
    for weight, answer in zip(resumed.get_weights(), undisturbed.get_weights(), strict=True):
        assert weight.tobytes() == answer.tobytes()


def test_a_fit_that_has_ended_is_not_repeated(tmp_path: Path) -> None:
    first = network()
    history = fit(first, data(), plan(), tmp_path, tiny.ignore)
    again = network()
    assert fit(again, data(), plan(), tmp_path, killed_after(1)) == history
    assert [w.tobytes() for w in again.get_weights()] == [w.tobytes() for w in first.get_weights()]


def test_only_needed_checkpoints_are_kept(tmp_path: Path) -> None:
    history = fit(network(), data(), plan(epochs=4), tmp_path, tiny.ignore)
    needed = {4, best_index(history) + 1}
    assert {path.name for path in tmp_path.iterdir()} == {
        "history.json",
        *(f"epoch-{epoch:05d}.npz" for epoch in needed),
    }
