"""The convolutional part of `fast_cnn`, its initial weights, and the scaling that all networks begin with.

The bundled backbone is such a part, too.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from pipeline.foundation.array_types import Float32, UInt8
from pipeline.foundation.errors import PipelineError
from pipeline.images.arrays import ChannelStatistics
from pipeline.networks.input_size import images_at_size

_WHITENING_IMAGES = 5000


def scaling(statistics: ChannelStatistics) -> layers.Layer:
    """Gray levels to zero mean and unit variance per channel, in float32 under any precision."""
    mean, std = np.asarray(statistics.mean), np.maximum(np.asarray(statistics.std), 1.0)
    return layers.Rescaling(
        scale=(1 / std).tolist(), offset=(-mean / std).tolist(), dtype="float32", name="scaling"
    )


def fast_cnn_features(scaled: keras.KerasTensor, widths: Sequence[int]) -> keras.KerasTensor:
    """The convolutional part of fast_cnn: whitening, then a residual block per width.

    Every block halves height and width. It descends from the network of Jordan 2024
    (https://arxiv.org/abs/2404.00498), with a residual convolution per block, and ReLU instead of
    GELU, which costs a tenth more on CPUs.
    """
    channels = scaled.shape[-1]
    x = layers.Conv2D(8 * channels, 2, use_bias=False, trainable=False, name="whitening")(scaled)
    x = layers.ReLU(name="whitening_relu")(x)
    for number, width in enumerate(widths, start=1):
        if min(x.shape[1:3]) < 2:
            raise too_small(scaled, len(widths))
        name = f"block{number}"
        x = _convolution(x, width, f"{name}_conv")
        x = layers.MaxPooling2D(name=f"{name}_pool")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
        x = layers.ReLU(name=f"{name}_relu")(x)
        residual = _convolution(x, width, f"{name}_residual_conv")
        residual = layers.BatchNormalization(momentum=0.9, name=f"{name}_residual_norm")(residual)
        residual = layers.ReLU(name=f"{name}_residual_relu")(residual)
        x = layers.Add(name=f"{name}_add")([x, residual])
    return x


def _convolution(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
    return layers.Conv2D(
        width, 3, padding="same", use_bias=False, kernel_initializer=IdentityLike(), name=name
    )(x)


def whiten(
    model: keras.Model, images: UInt8[np.ndarray, "n h w c"], statistics: ChannelStatistics, size: int
) -> None:
    """Set the frozen first convolution of a fast_cnn that works at `size` from patches of training images."""
    std = tuple(max(value, 1.0) for value in statistics.std)
    few = images_at_size(_evenly_spaced(images), size)
    model.get_layer("whitening").set_weights([whitening_kernel(few, std)])


def _evenly_spaced(images: UInt8[np.ndarray, "n h w c"]) -> UInt8[np.ndarray, "m h w c"]:
    """At most 5,000 of them, from the first to the last, as images often come class by class."""
    rows = np.linspace(0, len(images) - 1, min(len(images), _WHITENING_IMAGES)).astype(np.int64)
    return np.asarray(images[rows])


@keras.saving.register_keras_serializable(package="pipeline")
class IdentityLike(keras.initializers.VarianceScaling):
    """Convolution kernels that at first pass their input channels on ("dirac" initialization).

    The first `in` of the `out` filters are identities, the others uniform in +-1/sqrt(fan_in), as in
    the CIFAR-10 recipe of Jordan 2024 (https://arxiv.org/abs/2404.00498).
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(scale=1 / 3, mode="fan_in", distribution="uniform", seed=seed)

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Any:
        kernel = keras.ops.convert_to_numpy(super().__call__(shape, dtype="float32")).copy()
        height, width, inputs, outputs = shape
        passed = min(inputs, outputs)
        kernel[..., :passed] = 0.0
        kernel[height // 2, width // 2, np.arange(passed), np.arange(passed)] = 1.0
        return keras.ops.convert_to_tensor(kernel, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {"seed": super().get_config()["seed"]}


def whitening_kernel(
    images: UInt8[np.ndarray, "n h w c"], std: tuple[float, ...]
) -> Float32[np.ndarray, "2 2 c 8*c"]:
    """A 2x2 convolution that whitens patches of these images.

    Its filters are the eigenvectors of the patches' covariance, scaled to unit variance, each with
    both signs (Jordan 2024, section 3.1). The covariance is summed in integers, so that the number of
    threads cannot change a bit of it.

    Args:
      images: those whose patches are used.
      std: gray levels per channel that the network divides by.
    """
    channels = images.shape[-1]
    size = 4 * channels
    total, products, count = np.zeros(size, np.int64), np.zeros((size, size), np.int64), 0
    for image in images:
        patches = _patches(image).astype(np.int64)
        total += patches.sum(axis=0)
        products += patches.T @ patches
        count += len(patches)
    center = total / count
    covariance = products / count - np.outer(center, center)
    scale = np.tile(np.asarray(std), 4)
    covariance /= np.outer(scale, scale)
    values, vectors = np.linalg.eigh(covariance)
    # The sign of an eigenvector is arbitrary; fix it, so that libraries cannot differ in it.
    vectors *= np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(size)])
    # Directions without any variance (gray images in three channels) would be blown up to noise.
    usable = values > 1e-6 * values.max()
    filters = np.where(usable, vectors / np.sqrt(values.clip(min=0) + 5e-4), 0.0)[:, ::-1]
    both = np.concatenate([filters, -filters], axis=1)
    return both.reshape(2, 2, channels, 2 * size).astype(np.float32)


def _patches(image: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "patches 4*c"]:
    """All 2x2 patches of an image, a row each."""
    corners = [image[:-1, :-1], image[:-1, 1:], image[1:, :-1], image[1:, 1:]]
    return np.concatenate(corners, axis=-1).reshape(-1, 4 * image.shape[-1])


def too_small(scaled: keras.KerasTensor, blocks: int) -> PipelineError:
    """What is wrong with images whose side cannot be halved so many times."""
    return PipelineError(
        f"Images of {scaled.shape[1]}x{scaled.shape[2]} pixels are too small for {blocks} blocks.",
        expected="a side that can be halved once per block",
        remedy="raise preprocess.image_size or shorten train_baseline.widths",
    )
