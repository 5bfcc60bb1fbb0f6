"""Networks that start from random weights: `fast_cnn`, `small_cnn` and `dense`.

All of them take uint8 images (N, height, width, channels), scale them inside, and return logits,
float32, (N, classes).
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import layers

from pipeline.foundation.errors import PipelineError
from pipeline.images.arrays import ChannelStatistics
from pipeline.networks.initializers import IdentityLike, whitening_kernel


def build_from_scratch(
    network: str,
    images: np.ndarray,
    num_classes: int,
    statistics: ChannelStatistics,
    widths: Sequence[int],
    dropout: float,
) -> keras.Model:
    """The network called `network`, for images like these.

    Args:
      network: fast_cnn, small_cnn or dense.
      images: uint8, (N, height, width, channels); training images. fast_cnn whitens their patches.
      num_classes: number of logits.
      statistics: channel statistics that inputs are scaled with.
      widths: channels per block, or units per layer of the dense network.
      dropout: rate before the last layer (small_cnn and dense: also after every block).

    Raises:
      PipelineError: the images are too small for that many blocks.
    """
    inputs = keras.Input(images.shape[1:], dtype="uint8", name="image")
    scaled = scaling(statistics)(inputs)
    features = _BUILDERS[network](scaled, widths, dropout)
    if dropout:
        features = layers.Dropout(dropout, name="dropout")(features)
    # The small factor keeps the first logits, and so the first steps, calm at high learning rates.
    logits = layers.Dense(num_classes, use_bias=network != "fast_cnn", name="classifier", dtype="float32")(
        features
    )
    if network == "fast_cnn":
        logits = layers.Rescaling(0.2, name="logits", dtype="float32")(logits)
    model = keras.Model(inputs, logits, name=network)
    if network == "fast_cnn":
        whiten(model, images, statistics)
    return model


def scaling(statistics: ChannelStatistics) -> layers.Layer:
    """Grey levels to zero mean and unit variance per channel, in float32 under any precision."""
    mean, std = np.asarray(statistics.mean), np.maximum(np.asarray(statistics.std), 1.0)
    return layers.Rescaling(
        scale=(1 / std).tolist(), offset=(-mean / std).tolist(), dtype="float32", name="scaling"
    )


def whiten(model: keras.Model, images: np.ndarray, statistics: ChannelStatistics) -> None:
    """Set the frozen first convolution of a fast_cnn from patches of training images."""
    std = tuple(max(value, 1.0) for value in statistics.std)
    model.get_layer("whitening").set_weights([whitening_kernel(images, std)])


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
            raise _too_small(scaled, len(widths))
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


def _fast_cnn(scaled: keras.KerasTensor, widths: Sequence[int], dropout: float) -> keras.KerasTensor:
    return layers.GlobalMaxPooling2D(name="global_pool")(fast_cnn_features(scaled, widths))


def _small_cnn(scaled: keras.KerasTensor, widths: Sequence[int], dropout: float) -> keras.KerasTensor:
    """Convolution, normalisation, pooling and dropout, as in a first course."""
    x = scaled
    for number, width in enumerate(widths, start=1):
        if min(x.shape[1:3]) < 2:
            raise _too_small(scaled, len(widths))
        x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"block{number}_conv")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"block{number}_norm")(x)
        x = layers.ReLU(name=f"block{number}_relu")(x)
        x = layers.MaxPooling2D(name=f"block{number}_pool")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"block{number}_dropout")(x)
    x = layers.Flatten(name="flatten")(x)
    # Without this normalization the network dies at the learning rates that fast_cnn likes.
    x = layers.Dense(128, use_bias=False, name="hidden")(x)
    x = layers.BatchNormalization(momentum=0.9, name="hidden_norm")(x)
    return layers.ReLU(name="hidden_relu")(x)


def _dense(scaled: keras.KerasTensor, widths: Sequence[int], dropout: float) -> keras.KerasTensor:
    """Fully connected layers on the pixels: what convolutions have to beat."""
    x = layers.Flatten(name="flatten")(scaled)
    for number, width in enumerate(widths, start=1):
        x = layers.Dense(width, use_bias=False, name=f"layer{number}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"layer{number}_norm")(x)
        x = layers.ReLU(name=f"layer{number}_relu")(x)
        if dropout and number < len(widths):
            x = layers.Dropout(dropout, name=f"layer{number}_dropout")(x)
    return x


_BUILDERS: dict[str, Callable[[keras.KerasTensor, Sequence[int], float], keras.KerasTensor]] = {
    "fast_cnn": _fast_cnn,
    "small_cnn": _small_cnn,
    "dense": _dense,
}


def _too_small(scaled: keras.KerasTensor, blocks: int) -> PipelineError:
    return PipelineError(
        f"Images of {scaled.shape[1]}x{scaled.shape[2]} pixels are too small for {blocks} blocks.",
        expected="a side that can be halved once per block",
        remedy="raise preprocess.image_size or shorten train_baseline.widths",
    )
