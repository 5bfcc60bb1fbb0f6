"""Networks that start from random weights, `fast_cnn`, `small_cnn` and `dense`, and how they are fitted.

Another network is a name in `pipeline/params/train_baseline.py` and a case here.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import assert_never

import keras
import numpy as np
from keras import layers

from pipeline.foundation.array_types import UInt8
from pipeline.images.arrays import ChannelStatistics
from pipeline.networks.fast_cnn import fast_cnn_features, scaling, too_small, whiten
from pipeline.networks.input_size import at_size
from pipeline.networks.normalization import with_fused_normalization
from pipeline.networks.precision import build, in_float32
from pipeline.params.train_baseline import BaselineConfig, NetworkName
from pipeline.training.data import TrainingData
from pipeline.training.fitting import FitPlan, Fitted, OnEpoch, fit


def fit_from_scratch(
    data: TrainingData, config: BaselineConfig, checkpoints: Path, on_epoch: OnEpoch
) -> Fitted:
    """Build and fit the network that `config` describes. Raises PipelineError (see `fit`)."""
    keras.utils.set_random_seed(config.seed)
    params = config.train_baseline

    def builder() -> keras.Model:
        return build_from_scratch(
            params.network,
            data.train.images,
            data.num_classes,
            data.statistics,
            params.widths,
            params.dropout,
            params.input_size,
        )

    model = with_fused_normalization(build(builder, config.precision))
    plan = FitPlan(
        phase="train",
        epochs_before=0,
        epochs=params.epochs,
        learning_rate=config.lr,
        batch_size=config.batch_size,
        params=params,
        augmentation=config.augmentation,
        seed=config.seed,
    )
    history = fit(model, data, plan, checkpoints / plan.phase, on_epoch)
    return Fitted(model, history, plan, params.network, config, partial(in_float32, model, builder))


def build_from_scratch(
    network: NetworkName,
    images: UInt8[np.ndarray, "n h w c"],
    num_classes: int,
    statistics: ChannelStatistics,
    widths: Sequence[int],
    dropout: float,
    input_size: int | None = None,
) -> keras.Model:
    """The network called `network`: uint8 images like these to logits, float32 (N, classes).

    Args:
      network: its name.
      images: training images. fast_cnn whitens their patches.
      num_classes: number of logits.
      statistics: channel statistics that inputs are scaled with.
      widths: channels per block, or units per layer of the dense network.
      dropout: rate before the last layer (small_cnn and dense: also after every block).
      input_size: side that the network works at; None: that of the images.

    Raises:
      PipelineError: the images are too small for that many blocks, or cannot be reduced to input_size.
    """
    inputs = keras.Input(images.shape[1:], dtype="uint8", name="image")
    size = input_size or images.shape[1]
    scaled = at_size(scaling(statistics)(inputs), size)
    match network:
        case "fast_cnn":
            features = layers.GlobalMaxPooling2D(name="global_pool")(fast_cnn_features(scaled, widths))
        case "small_cnn":
            features = _small_cnn(scaled, widths, dropout)
        case "dense":
            features = _dense(scaled, widths, dropout)
        case _:
            assert_never(network)
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
        whiten(model, images, statistics, size)
    return model


def _small_cnn(scaled: keras.KerasTensor, widths: Sequence[int], dropout: float) -> keras.KerasTensor:
    """Convolution, normalization, pooling and dropout, as in a first course."""
    x = scaled
    for number, width in enumerate(widths, start=1):
        if min(x.shape[1:3]) < 2:
            raise too_small(scaled, len(widths))
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
