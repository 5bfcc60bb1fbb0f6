"""The networks that start from random weights."""

import keras
import numpy as np
import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.images.arrays import ChannelStatistics
from pipeline.networks.from_scratch import build_from_scratch, scaling
from pipeline.networks.initializers import whitening_kernel
from pipeline.networks.precision import build

NETWORKS = ("fast_cnn", "small_cnn", "dense")


def images(size: int = 16, channels: int = 3, count: int = 6) -> np.ndarray:
    shape = (count, size, size, channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def network(
    name: str, data: np.ndarray, dropout: float = 0.0, widths: tuple[int, ...] = (8, 8)
) -> keras.Model:
    channels = data.shape[-1]
    statistics = ChannelStatistics(mean=(100.0, 110.0, 120.0)[:channels], std=(50.0, 60.0, 70.0)[:channels])
    return build_from_scratch(name, data, 4, statistics, widths, dropout)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_grey_levels_become_logits_in_float32_under_mixed_precision(name: str, channels: int) -> None:
    data = images(channels=channels)
    model = build(lambda: network(name, data, dropout=0.1), "mixed_bfloat16")
    assert model.input.dtype == "uint8"
    assert "bfloat16" in {layer.compute_dtype for layer in model.layers}
    logits = model(data)
    assert (tuple(logits.shape), keras.backend.standardize_dtype(logits.dtype)) == ((6, 4), "float32")
    sums = np.exp(keras.ops.convert_to_numpy(logits)).sum(axis=1)
    assert np.abs(sums - 1).min() > 1e-3, "logits, not probabilities"
    assert keras.config.dtype_policy().name == "float32"


def test_scaling_gives_zero_mean_and_unit_variance() -> None:
    statistics = ChannelStatistics(mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 0.0))
    image = np.array([[[[14, 12, 33]]]], np.uint8)
    # A channel without any variance is divided by one grey level.
    found = keras.ops.convert_to_numpy(scaling(statistics)(image)).ravel()
    np.testing.assert_allclose(found, [2, -2, 3], atol=1e-5)


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
def test_dropout_layers(name: str, expected: int) -> None:
    def dropouts(rate: float) -> list[float]:
        layers = network(name, images(), rate).layers
        return [layer.rate for layer in layers if isinstance(layer, keras.layers.Dropout)]

    assert dropouts(0.0) == []
    assert dropouts(0.3) == [0.3] * expected


@pytest.mark.parametrize(
    ("name", "size", "widths"), [("fast_cnn", 8, (8, 8, 8)), ("small_cnn", 8, (8, 8, 8, 8))]
)
def test_images_that_are_too_small_for_the_blocks(name: str, size: int, widths: tuple[int, ...]) -> None:
    network(name, images(size), widths=widths[:-1])
    with pytest.raises(PipelineError, match=f"{size}x{size} pixels are too small for {len(widths)} blocks"):
        network(name, images(size), widths=widths)
