"""Small networks whose answers follow from a few numbers, and images with an object at a known place."""

from collections.abc import Callable
from functools import cache

import keras
import numpy as np
from keras import layers

from pipeline.foundation.array_types import Bool, Int64, UInt8
from pipeline.images.arrays import ChannelStatistics
from pipeline.networks.from_scratch import build_from_scratch
from pipeline.networks.precision import in_float32
from pipeline.params.train_baseline import NetworkName

SIZE = 32
OBJECT = 12
"""Side of the object, pixels."""


def with_softmax(builder: Callable[[], keras.Model]) -> keras.Model:
    """What is saved of a trained network: float32, with probabilities."""
    return in_float32(builder(), builder)


def from_scratch(network: NetworkName, size: int, channels: int) -> keras.Model:
    """An untrained network from scratch for images of that size, with three classes."""
    images = np.random.default_rng(0).integers(0, 256, (8, size, size, channels), dtype=np.uint8)
    statistics = ChannelStatistics((127.0,) * channels, (60.0,) * channels)
    return with_softmax(lambda: build_from_scratch(network, images, 3, statistics, (4, 4, 4), 0.0))


def randomized(network: keras.Model) -> keras.Model:
    """The same layers with weights drawn anew, in the scale of the old ones."""
    twin = keras.models.clone_model(network)
    random = np.random.default_rng(1)
    twin.set_weights(
        [random.normal(0, 0.1, weight.shape).astype(np.float32) for weight in twin.get_weights()]
    )
    # Variances of normalizations must not be negative.
    for layer in twin.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_variance.assign(np.ones(layer.moving_variance.shape, np.float32))
    return twin


def object_images(
    count: int, seed: int
) -> tuple[UInt8[np.ndarray, "n h w 3"], Int64[np.ndarray, " n"], Bool[np.ndarray, "n h w"]]:
    """A striped square, its stripes upright (class 0) or lying (class 1), at a random place in noise.

    Returns:
      Images, labels, and where the object is.
    """
    random = np.random.default_rng(seed)
    images = random.integers(90, 166, (count, SIZE, SIZE, 3), dtype=np.uint8)
    labels = np.arange(count, dtype=np.int64) % 2
    places = np.zeros((count, SIZE, SIZE), bool)
    stripes = np.where(np.arange(OBJECT) % 4 < 2, 0, 255).astype(np.uint8)
    for row, (top, left) in enumerate(random.integers(0, SIZE - OBJECT + 1, (count, 2))):
        square = np.tile(stripes, (OBJECT, 1)) if labels[row] == 0 else np.tile(stripes[:, None], OBJECT)
        images[row, top : top + OBJECT, left : left + OBJECT] = square[..., np.newaxis]
        places[row, top : top + OBJECT, left : left + OBJECT] = True
    return images, labels, places


@cache
def trained_on_objects() -> keras.Model:
    """A fast_cnn that tells the stripes of unseen object images apart; trained once per test run."""
    images, labels, _ = object_images(512, seed=0)
    statistics = ChannelStatistics((127.5,) * 3, (40.0,) * 3)

    def builder() -> keras.Model:
        return build_from_scratch("fast_cnn", images, 2, statistics, (8, 16, 16), 0.0)

    keras.utils.set_random_seed(0)
    network = builder()
    network.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    network.fit(images, labels, batch_size=64, epochs=6, verbose=0)
    return in_float32(network, builder)
