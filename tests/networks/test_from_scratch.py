"""The networks that start from random weights: what they are made of, and their fitting."""

from pathlib import Path
from typing import get_args

import keras
import numpy as np
import pytest
from jaxtyping import UInt8
from sklearn.datasets import load_digits

from pipeline.foundation.errors import PipelineError
from pipeline.images.arrays import ChannelStatistics, ImageArrays
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.networks.fast_cnn import whitening_kernel
from pipeline.networks.from_scratch import build_from_scratch, fit_from_scratch
from pipeline.networks.precision import build
from pipeline.params.train_baseline import BaselineConfig, NetworkName
from pipeline.training.data import TrainingData
from pipeline.training.fitting import Fitted
from tests.training import tiny

NETWORKS: tuple[NetworkName, ...] = get_args(NetworkName)


def images(size: int = 16, channels: int = 3, count: int = 6) -> UInt8[np.ndarray, "n h w c"]:
    shape = (count, size, size, channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def network(
    name: NetworkName,
    data: UInt8[np.ndarray, "n h w c"],
    dropout: float = 0.0,
    widths: tuple[int, ...] = (8, 8),
) -> keras.Model:
    channels = data.shape[-1]
    statistics = ChannelStatistics(mean=(100.0, 110.0, 120.0)[:channels], std=(50.0, 60.0, 70.0)[:channels])
    return build_from_scratch(name, data, 4, statistics, widths, dropout)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_gray_levels_become_logits_in_float32_under_mixed_precision(name: NetworkName, channels: int) -> None:
    data = images(channels=channels)
    model = build(lambda: network(name, data, dropout=0.1), "mixed_bfloat16")
    assert model.input.dtype == "uint8"
    assert "bfloat16" in {layer.compute_dtype for layer in model.layers}
    logits = model(data)
    assert (tuple(logits.shape), keras.backend.standardize_dtype(logits.dtype)) == ((6, 4), "float32")
    sums = np.exp(keras.ops.convert_to_numpy(logits)).sum(axis=1)
    assert np.abs(sums - 1).min() > 1e-3, "logits, not probabilities"
    assert keras.config.dtype_policy().name == "float32"


def test_fast_cnn_begins_with_frozen_whitening_of_its_images() -> None:
    data = images()
    model = network("fast_cnn", data)
    layer = model.get_layer("whitening")
    assert not layer.trainable_weights
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(layer.kernel), whitening_kernel(data, (50.0, 60.0, 70.0))
    )
    assert not any(layer.kernel is weight for weight in model.trainable_weights)


@pytest.mark.parametrize(("name", "expected"), [("fast_cnn", 1), ("small_cnn", 3), ("dense", 2)])
def test_dropout_layers(name: NetworkName, expected: int) -> None:
    def dropouts(rate: float) -> list[float]:
        layers = network(name, images(), rate).layers
        return [layer.rate for layer in layers if isinstance(layer, keras.layers.Dropout)]

    assert dropouts(0.0) == []
    assert dropouts(0.3) == [0.3] * expected


@pytest.mark.parametrize(
    ("name", "size", "widths"), [("fast_cnn", 8, (8, 8, 8)), ("small_cnn", 8, (8, 8, 8, 8))]
)
def test_images_that_are_too_small_for_the_blocks(
    name: NetworkName, size: int, widths: tuple[int, ...]
) -> None:
    network(name, images(size), widths=widths[:-1])
    with pytest.raises(PipelineError, match=f"{size}x{size} pixels are too small for {len(widths)} blocks"):
        network(name, images(size), widths=widths)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return tiny.data(tmp_path_factory.mktemp("arrays"))


def fitted(data: TrainingData, config: BaselineConfig, checkpoints: Path) -> Fitted:
    return fit_from_scratch(data, config, checkpoints, tiny.ignore)


def weights(fitted: Fitted) -> list[bytes]:
    return [weight.tobytes() for weight in fitted.trained.get_weights()]


@pytest.mark.usefixtures("eager")
def test_the_seed_decides_every_byte(data: TrainingData, tmp_path: Path) -> None:
    first, again, other = (
        weights(fitted(data, tiny.baseline_config(seed=seed, dropout=0.2), tmp_path / name))
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    assert first == again
    assert first != other


@pytest.mark.usefixtures("eager")
def test_early_stopping_keeps_the_best_epoch(data: TrainingData, tmp_path: Path) -> None:
    # Far too fast: one of the first epochs is the best.
    config = tiny.baseline_config(lr=1.5, epochs=9, early_stopping_patience=2, schedule="constant")
    result = fitted(data, config, tmp_path)
    assert result.kept == min(result.history, key=lambda row: row.val_loss)
    assert len(result.history) == result.kept.epoch + 2 < 9
    assert result.stopped_early


@pytest.mark.usefixtures("eager")
def test_final_model_returns_the_probabilities_of_the_fitted_one(data: TrainingData, tmp_path: Path) -> None:
    result = fitted(data, tiny.baseline_config(), tmp_path)
    logits = result.trained.predict_on_batch(data.validation.images)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = result.final_model().predict_on_batch(data.validation.images)
    np.testing.assert_allclose(found, probabilities, rtol=1e-5)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_bears_the_default_learning_rate(network: NetworkName, tmp_path: Path) -> None:
    """`-S train_baseline.network=...` changes the network alone; lr 0.2 has to do for all of them."""
    digits = load_digits()
    images = np.kron(digits.images, np.ones((2, 2)))[..., None].astype(np.uint8) * 15
    labels = digits.target.astype(np.int64)
    train, validation = slice(0, 1400), slice(1400, None)
    data = TrainingData(
        ImageArrays(images[train], labels[train], np.arange(1400)),
        ImageArrays(images[validation], labels[validation], np.arange(1400, len(labels))),
        ChannelStatistics((images.mean(),), (images.std(),)),
        PreprocessingSpec(16, "pad", "grayscale", tuple("0123456789")),
        digest="",
    )
    config = tiny.baseline_config(lr=0.2, batch_size=64, network=network, widths=(32, 64), epochs=3)
    history = fitted(data, config, tmp_path).history
    guessing = np.log(10)
    assert max(row.loss for row in history) < guessing
    assert history[-1].val_accuracy > 0.85
