"""fast_cnn in plain Keras, as somebody without this project would write it; imports nothing of ours.

The layers are those of `pipeline/networks/fast_cnn.py`, by Keras' own classes and with Keras' own initial
weights: how fast a step is depends on neither the weights nor the names.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers


def fast_cnn(widths: Sequence[int], num_classes: int, side: int, augmentation: Sequence[Any]) -> keras.Model:
    """Images (N, side, side, 3), levels 0 to 255, to logits; layers of `augmentation` see levels 0 to 1."""
    inputs = keras.Input((side, side, 3))
    x = layers.Rescaling(1 / 255)(inputs)
    for layer in augmentation:
        x = layer(x)
    x = layers.Conv2D(24, 2, use_bias=False, trainable=False)(x)
    x = layers.ReLU()(x)
    for width in widths:
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D()(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
        residual = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.Add()([x, layers.ReLU()(layers.BatchNormalization(momentum=0.9)(residual))])
    x = layers.GlobalMaxPooling2D()(x)
    logits = layers.Dense(num_classes, use_bias=False, dtype="float32")(x)
    return keras.Model(inputs, layers.Rescaling(0.2, dtype="float32")(logits))


def tutorial_cnn(num_classes: int, side: int) -> keras.Model:
    """Three times convolution and pooling, then two dense layers: the network of a first course."""
    return keras.Sequential(
        [
            keras.Input((side, side, 3)),
            layers.Rescaling(1 / 255),
            *(
                layer
                for width in (32, 64, 64)
                for layer in (
                    layers.Conv2D(width, 3, padding="same", activation="relu"),
                    layers.MaxPooling2D(),
                )
            ),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(num_classes),
        ]
    )


def tutorial_augmentation() -> list[Any]:
    """Flips, shifts and covered rectangles as layers of the network, as tutorials of Keras have them."""
    return [
        layers.RandomFlip("horizontal"),
        layers.RandomTranslation(0.125, 0.125),
        layers.RandomErasing(scale=(0.06, 0.06), value_range=(0, 1)),
    ]


def compile_for_training(model: keras.Model, learning_rate: float, **options: Any) -> None:
    """Optimizer and loss of the pipeline's defaults, at a constant rate."""
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate, momentum=0.9, nesterov=True, weight_decay=0.005),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        metrics=["accuracy"],
        **options,
    )
