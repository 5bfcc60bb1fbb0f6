"""A backbone of a few hundred parameters with what real ones have: normalization, dropout, whitening."""

from pathlib import Path

import keras
from keras import layers


def tiny_backbone(name: str, shape: tuple[int, int, int], weights: str, weights_base: Path) -> keras.Model:
    """In place of pipeline.backbones.backbones.build_backbone."""
    inputs = keras.Input(shape, name="backbone_image")
    x = layers.Rescaling(1 / 255, dtype="float32", name="inner_scaling")(inputs)
    x = layers.Conv2D(4, 2, use_bias=False, trainable=False, name="whitening")(x)
    x = layers.Conv2D(8, 3, strides=2, use_bias=False, name="conv1")(x)
    x = layers.BatchNormalization(momentum=0.5, name="norm1")(x)
    x = layers.ReLU(name="relu1")(x)
    x = layers.Dropout(0.1, name="dropout1")(x)
    x = layers.Conv2D(8, 3, strides=2, use_bias=False, name="conv2")(x)
    x = layers.BatchNormalization(momentum=0.5, name="norm2")(x)
    return keras.Model(inputs, layers.ReLU(name="relu2")(x), name="tiny")
