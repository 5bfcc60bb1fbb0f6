"""A backbone with a new head, what of it is trained when, and kills in either phase."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from jaxtyping import Float, UInt8

from pipeline.backbones import transfer
from pipeline.backbones.features import FeatureCache
from pipeline.backbones.transfer import build_transfer, fit_transfer, unfreeze
from pipeline.foundation.errors import PipelineError
from pipeline.networks.precision import build
from pipeline.training.data import TrainingData
from pipeline.training.fitting import EpochResult, Fitted, OnEpoch
from tests.backbones.tiny_backbone import tiny_backbone
from tests.training import tiny

SHAPE = (32, 32, 3)


def network(shape: tuple[int, int, int] = SHAPE, dropout: float = 0.2) -> keras.Model:
    return build_transfer("bundled", "none", Path(), shape, 3, (6, 5), dropout)


@pytest.fixture
def small_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "build_backbone", tiny_backbone)


def step_changes(model: keras.Model) -> set[str]:
    """Names of the layers of which a training step changes some weight."""
    backbone = model.get_layer("tiny")
    layers = [layer for layer in [*backbone.layers, *model.layers] if layer is not backbone]
    before = {layer.name: layer.get_weights() for layer in layers}
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (8, *SHAPE), dtype=np.uint8)
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    model.train_on_batch(images, np.eye(3, dtype=np.float32)[random.integers(0, 3, 8)])
    return {
        layer.name
        for layer in layers
        if any((old != new).any() for old, new in zip(before[layer.name], layer.get_weights(), strict=True))
    }


HEAD = {"head1", "head1_norm", "head2", "head2_norm", "classifier"}


@pytest.mark.usefixtures("small_backbone", "eager")
def test_only_the_head_is_trained_at_first() -> None:
    model = network()
    assert step_changes(model) == HEAD


@pytest.mark.usefixtures("small_backbone", "eager")
@pytest.mark.parametrize(
    ("unfreeze_from", "frozen_batch_norm", "trained"),
    [
        ("all", False, {"conv1", "norm1", "conv2", "norm2"}),
        ("all", True, {"conv1", "conv2"}),
        ("relu1", False, {"conv2", "norm2"}),
        ("conv2", True, {"conv2"}),
    ],
)
def test_what_fine_tuning_trains(unfreeze_from: str, frozen_batch_norm: bool, trained: set[str]) -> None:
    model = network()
    unfreeze(model, unfreeze_from, frozen_batch_norm)
    assert step_changes(model) == HEAD | trained


@pytest.mark.usefixtures("small_backbone", "eager")
def test_unknown_layer() -> None:
    with pytest.raises(PipelineError, match="tiny has no layer 'conv_2'") as caught:
        unfreeze(network(), "conv_2", frozen_batch_norm=False)
    assert "did you mean 'conv2'?" in str(caught.value)
    assert "norm1" in str(caught.value.expected)


def test_unknown_backbone() -> None:
    with pytest.raises(PipelineError, match="no backbone 'MobilNetV2'") as caught:
        build_transfer("MobilNetV2", "none", Path(), SHAPE, 3, (), 0.0)
    assert "did you mean 'MobileNetV2'?" in str(caught.value)
    assert "InceptionV3" in str(caught.value.expected)


@pytest.mark.usefixtures("small_backbone", "eager")
def test_logits_are_float32_under_mixed_precision() -> None:
    model = build(network, "mixed_bfloat16")
    assert model.get_layer("tiny").get_layer("conv1").compute_dtype == "bfloat16"
    logits = model(np.zeros((2, *SHAPE), np.uint8))
    assert (tuple(logits.shape), keras.backend.standardize_dtype(logits.dtype)) == ((2, 3), "float32")


@pytest.mark.usefixtures("small_backbone", "eager")
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_head(dropout: float) -> None:
    model = network(dropout=dropout)
    widths = [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    rates = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert (widths, rates) == ([6, 5, 3], [dropout, dropout] if dropout else [])


def seen_by_backbone(
    monkeypatch: pytest.MonkeyPatch, backbone: str, image: UInt8[np.ndarray, "h w c"]
) -> tuple[tuple[int, ...], Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """Shape of the backbone's input, and its maximum and mean per channel, as the head gets them."""
    shapes = []

    def identity(name: str, shape: tuple[int, int, int], weights: str, weights_base: Path) -> keras.Model:
        shapes.append(shape)
        inputs = keras.Input(shape)
        return keras.Model(inputs, keras.layers.Identity()(inputs))

    monkeypatch.setattr(transfer, "build_backbone", identity)
    model = build_transfer(backbone, "none", Path(), image.shape, 3, (), 0.0)
    features = keras.Model(model.input, model.get_layer("features").output)(image[None])
    values = keras.ops.convert_to_numpy(features)[0]
    return shapes[0], values[:3], values[3:]


def test_head_sees_maximum_and_mean_of_what_the_backbone_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
    shape, maximum, mean = seen_by_backbone(monkeypatch, "bundled", image)
    assert shape == SHAPE
    np.testing.assert_array_equal(maximum, image.max(axis=(0, 1)))
    np.testing.assert_allclose(mean, image.mean(axis=(0, 1)), rtol=1e-5)


def test_single_channel_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 1), dtype=np.uint8)
    shape, maximum, mean = seen_by_backbone(monkeypatch, "bundled", image)
    assert shape == SHAPE
    np.testing.assert_array_equal(maximum, [image.max()] * 3)
    np.testing.assert_allclose(mean, [image.mean()] * 3, rtol=1e-5)


@pytest.mark.parametrize(
    ("backbone", "side", "enlarged"), [("bundled", 16, 32), ("InceptionV3", 32, 75), ("InceptionV3", 80, 80)]
)
def test_small_images_are_enlarged_to_the_smallest_size(
    monkeypatch: pytest.MonkeyPatch, backbone: str, side: int, enlarged: int
) -> None:
    image = np.full((side, side, 3), 51, np.uint8)
    image[: side // 2] = 204
    shape, maximum, mean = seen_by_backbone(monkeypatch, backbone, image)
    assert shape == (enlarged, enlarged, 3)
    low, high = (51, 204) if backbone == "bundled" else (51 / 127.5 - 1, 204 / 127.5 - 1)
    np.testing.assert_allclose(maximum, [high] * 3, rtol=1e-5)
    np.testing.assert_allclose(mean, [(low + high) / 2] * 3, atol=0.02 * (high - low))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return tiny.data(tmp_path_factory.mktemp("arrays"))


def fitted_transfer(
    data: TrainingData, checkpoints: Path, on_epoch: OnEpoch = tiny.ignore, **changes: Any
) -> Fitted:
    config = tiny.transfer_config(**changes)
    features = FeatureCache(checkpoints / "features", config.seed, ())
    return fit_transfer(data, config, checkpoints, on_epoch, Path(), features)


def weights(fitted: Fitted) -> list[bytes]:
    return [weight.tobytes() for weight in fitted.trained.get_weights()]


def backbone_weights(fitted: Fitted) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in fitted.trained.get_layer("tiny").layers}


@pytest.mark.usefixtures("small_backbone", "eager")
def test_two_phases_with_their_own_learning_rates(data: TrainingData, tmp_path: Path) -> None:
    fitted = fitted_transfer(
        data,
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
    assert not fitted.stopped_early


@pytest.mark.usefixtures("small_backbone", "eager")
def test_the_backbone_changes_in_the_second_phase_only(data: TrainingData, tmp_path: Path) -> None:
    frozen = fitted_transfer(data, tmp_path / "frozen", fine_tune_epochs=0)
    tuned = fitted_transfer(data, tmp_path / "tuned", unfreeze_from="conv2", **A_HEAD_THAT_LEARNS_NOTHING)
    same = {
        name: all(np.array_equal(*pair) for pair in zip(kept, backbone_weights(tuned)[name], strict=True))
        for name, kept in backbone_weights(frozen).items()
        if kept
    }
    assert same == {"whitening": True, "conv1": True, "norm1": True, "conv2": False, "norm2": False}
    assert [row.phase for row in frozen.history] == ["head", "head"]


@pytest.mark.usefixtures("small_backbone", "eager")
def test_fine_tuning_is_kept_where_it_pays(data: TrainingData, tmp_path: Path) -> None:
    paid = fitted_transfer(data, tmp_path / "paid", **A_HEAD_THAT_LEARNS_NOTHING)
    assert paid.kept == paid.history[-1]
    assert paid.trained.get_layer("tiny").trainable


@pytest.mark.usefixtures("small_backbone", "eager")
def test_fine_tuning_is_taken_back_where_it_does_not(
    data: TrainingData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head_alone = fitted_transfer(data, tmp_path / "head", fine_tune_epochs=0)
    harmed = fitted_transfer(data, tmp_path / "harmed", fine_tune_lr_scale=100.0, fine_tune_epochs=1)
    assert "fine-tuning was no better on validation" in capsys.readouterr().out
    assert harmed.kept == harmed.history[1]
    assert [row.phase for row in harmed.history] == ["head", "head", "fine_tune"]
    # A head that nothing follows is fitted without the fused normalization, which rounds differently.
    for own, other in zip(harmed.trained.get_weights(), head_alone.trained.get_weights(), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-5)
    assert not harmed.trained.get_layer("tiny").trainable
    assert not harmed.stopped_early


@pytest.mark.usefixtures("small_backbone", "eager")
def test_a_head_on_features_is_the_head_of_the_network(data: TrainingData, tmp_path: Path) -> None:
    """What it was said to reach on validation, the whole network reaches on the images."""
    fitted = fitted_transfer(data, tmp_path, fine_tune_epochs=0, head_epochs=3)
    final = fitted.final_model()
    answers = np.asarray(final.predict_on_batch(np.asarray(data.validation.images))).argmax(axis=1)
    assert float((answers == data.validation.labels).mean()) == pytest.approx(fitted.kept.val_accuracy)


@pytest.mark.usefixtures("small_backbone", "eager")
def test_fine_tuning_alone(data: TrainingData, tmp_path: Path) -> None:
    fitted = fitted_transfer(data, tmp_path, head_epochs=0, fine_tune_epochs=1)
    assert [(row.phase, row.epoch) for row in fitted.history] == [("fine_tune", 1)]


@pytest.mark.usefixtures("small_backbone", "eager")
@pytest.mark.parametrize("patience", [None, 1])
def test_a_killed_transfer_ends_as_an_undisturbed_one(
    patience: int | None, data: TrainingData, tmp_path: Path
) -> None:
    """Killed in the head's phase, between the phases, and while fine-tuning."""
    options: dict[str, Any] = {"early_stopping_patience": patience, "head_epochs": 2, "fine_tune_epochs": 2}
    undisturbed = fitted_transfer(data, tmp_path / "undisturbed", **options)
    epochs = [row.epoch for row in undisturbed.history]
    first_fine_tuned = next(row.epoch for row in undisturbed.history if row.phase == "fine_tune")
    for killed_in in (2, first_fine_tuned, first_fine_tuned + 1):
        with pytest.raises(KeyboardInterrupt):
            fitted_transfer(data, tmp_path / "killed", interrupting(killed_in), **options)
    reported: list[int] = []
    resumed = fitted_transfer(
        data, tmp_path / "killed", lambda row, speed: reported.append(row.epoch), **options
    )
    assert reported == epochs[-1:]
    assert resumed.history == undisturbed.history
    assert resumed.kept == undisturbed.kept
    assert weights(resumed) == weights(undisturbed)


A_HEAD_THAT_LEARNS_NOTHING: dict[str, Any] = {"head_lr_scale": 1e-6, "fine_tune_lr_scale": 2.0}


def interrupting(epoch: int) -> OnEpoch:
    def on_epoch(result: EpochResult, images_per_second: float) -> None:
        if result.epoch == epoch:
            raise KeyboardInterrupt

    return on_epoch
