"""From scratch and from a backbone: phases, what is kept, and kills in either phase."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from pipeline.backbones import transfer as transfer_networks
from pipeline.images.arrays import ChannelStatistics, ImageArrays
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.training.candidate import Fitted, Hardware
from pipeline.training.fit_from_scratch import Setting, fit_from_scratch
from pipeline.training.fit_transfer import fit_transfer
from pipeline.training.fitting import EpochResult
from pipeline.training.source import TrainingSource
from tests.backbones.tiny_backbone import tiny_backbone
from tests.training import tiny

pytestmark = pytest.mark.usefixtures("eager")

OnEpoch = Callable[[EpochResult, float], None]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TrainingSource:
    return tiny.source(tmp_path_factory.mktemp("arrays"))


@pytest.fixture(autouse=True)
def _tiny_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_networks, "build_backbone", tiny_backbone)


def ignore(result: EpochResult, images_per_second: float) -> None: ...


def fitted_transfer(
    source: TrainingSource, checkpoints: Path, on_epoch: OnEpoch = ignore, seed: int = 0, **changes: Any
) -> Fitted:
    params = tiny.transfer(**changes)
    augmentation = tiny.augmentation(shift=0.1)
    hardware = Hardware(seed, "float32")
    return fit_transfer(
        source, params, augmentation, 0.05, 20, hardware, checkpoints, on_epoch, weights_base=Path()
    )


def weights(fitted: Fitted) -> list[bytes]:
    return [weight.tobytes() for weight in fitted.trained.get_weights()]


def backbone_weights(fitted: Fitted) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in fitted.trained.get_layer("tiny").layers}


def test_two_phases_with_their_own_learning_rates(source: TrainingSource, tmp_path: Path) -> None:
    fitted = fitted_transfer(
        source,
        tmp_path,
        head_epochs=1,
        fine_tune_epochs=2,
        head_lr_scale=2.0,
        fine_tune_lr_scale=0.1,
        schedule="constant",
    )
    assert [(row.phase, row.epoch) for row in fitted.history] == [
        ("head", 1),
        ("fine_tune", 2),
        ("fine_tune", 3),
    ]
    assert [row.learning_rate for row in fitted.history] == pytest.approx([0.1, 0.005, 0.005])
    assert fitted.kept == fitted.history[-1]
    assert not fitted.stopped_early


def test_the_backbone_changes_in_the_second_phase_only(source: TrainingSource, tmp_path: Path) -> None:
    frozen = fitted_transfer(source, tmp_path / "frozen", fine_tune_epochs=0)
    tuned = fitted_transfer(source, tmp_path / "tuned", unfreeze_from="conv2")
    same = {
        name: all(np.array_equal(*pair) for pair in zip(kept, backbone_weights(tuned)[name], strict=True))
        for name, kept in backbone_weights(frozen).items()
        if kept
    }
    assert same == {"whitening": True, "conv1": True, "norm1": True, "conv2": False, "norm2": False}
    assert [row.phase for row in frozen.history] == ["head", "head"]


def test_fine_tuning_alone(source: TrainingSource, tmp_path: Path) -> None:
    fitted = fitted_transfer(source, tmp_path, head_epochs=0, fine_tune_epochs=1)
    assert [(row.phase, row.epoch) for row in fitted.history] == [("fine_tune", 1)]


@pytest.mark.parametrize("patience", [None, 1])
def test_a_killed_transfer_ends_as_an_undisturbed_one(
    patience: int | None, source: TrainingSource, tmp_path: Path
) -> None:
    """Killed in the head's phase, between the phases, and while fine-tuning."""
    options = {"early_stopping_patience": patience, "head_epochs": 2, "fine_tune_epochs": 2}
    undisturbed = fitted_transfer(source, tmp_path / "undisturbed", **options)
    epochs = [row.epoch for row in undisturbed.history]
    first_fine_tuned = next(row.epoch for row in undisturbed.history if row.phase == "fine_tune")
    for killed_in in (2, first_fine_tuned, first_fine_tuned + 1):
        with pytest.raises(KeyboardInterrupt):
            fitted_transfer(source, tmp_path / "killed", interrupting(killed_in), **options)
    reported: list[int] = []
    resumed = fitted_transfer(
        source, tmp_path / "killed", lambda row, speed: reported.append(row.epoch), **options
    )
    assert reported == epochs[-1:]
    assert resumed.history == undisturbed.history
    assert resumed.kept == undisturbed.kept
    assert weights(resumed) == weights(undisturbed)


def interrupting(epoch: int) -> OnEpoch:
    def on_epoch(result: EpochResult, images_per_second: float) -> None:
        if result.epoch == epoch:
            raise KeyboardInterrupt

    return on_epoch


def scratch(
    source: TrainingSource, checkpoints: Path, learning_rate: float = 0.05, seed: int = 0, **changes: Any
) -> Fitted:
    setting = Setting(learning_rate, 20, tiny.baseline(**changes), tiny.augmentation())
    return fit_from_scratch(source, setting, Hardware(seed, "float32"), checkpoints, ignore)


def test_the_seed_decides_every_byte(source: TrainingSource, tmp_path: Path) -> None:
    first = scratch(source, tmp_path / "1", dropout=0.2)
    assert weights(scratch(source, tmp_path / "2", dropout=0.2)) == weights(first)
    assert weights(scratch(source, tmp_path / "3", dropout=0.2, seed=1)) != weights(first)


def test_early_stopping_keeps_the_best_epoch(source: TrainingSource, tmp_path: Path) -> None:
    # Far too fast: one of the first epochs is the best.
    fitted = scratch(source, tmp_path, 1.5, epochs=9, early_stopping_patience=2, schedule="constant")
    assert fitted.kept == min(fitted.history, key=lambda row: row.val_loss)
    assert len(fitted.history) == fitted.kept.epoch + 2 < 9
    assert fitted.stopped_early


def test_final_model_returns_the_probabilities_of_the_fitted_one(
    source: TrainingSource, tmp_path: Path
) -> None:
    fitted = scratch(source, tmp_path)
    images = source.validation.images
    logits = fitted.trained.predict_on_batch(images)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.final_model().predict_on_batch(images), probabilities, rtol=1e-5)


def test_a_setting_says_its_params() -> None:
    setting = Setting(0.1, 32, tiny.baseline(), tiny.augmentation(shift=0.2))
    params = setting.to_params()
    assert (params["lr"], params["batch_size"]) == (0.1, 32)
    assert params["train_baseline"]["widths"] == [8, 8]
    assert params["augmentation"]["shift"] == 0.2


@pytest.mark.parametrize("network", ["fast_cnn", "small_cnn", "dense"])
def test_every_network_bears_the_default_learning_rate(network: str, tmp_path: Path) -> None:
    """`-S train_baseline.network=...` changes the network alone; lr 0.2 has to do for all of them."""
    digits = load_digits()
    images = np.kron(digits.images, np.ones((2, 2)))[..., None].astype(np.uint8) * 15
    labels = digits.target.astype(np.int64)
    train, validation = slice(0, 1400), slice(1400, None)
    data = TrainingSource(
        ImageArrays(images[train], labels[train], np.arange(1400)),
        ImageArrays(images[validation], labels[validation], np.arange(1400, len(labels))),
        ChannelStatistics((images.mean(),), (images.std(),)),
        PreprocessingSpec(16, "pad", "grayscale", tuple("0123456789")),
        digest="",
    )
    params = tiny.baseline(network=network, widths=(32, 64), epochs=3)
    setting = Setting(0.2, 64, params, tiny.augmentation())
    history = fit_from_scratch(data, setting, Hardware(0, "float32"), tmp_path, ignore).history
    guessing = np.log(10)
    assert max(row.loss for row in history) < guessing
    assert history[-1].val_accuracy > 0.85
