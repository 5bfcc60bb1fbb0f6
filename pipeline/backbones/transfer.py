"""A pretrained backbone with a new head, and which of its layers are fine-tuned."""

import difflib
from collections.abc import Sequence
from pathlib import Path

import keras
from keras import layers

from pipeline.backbones.backbones import BACKBONES, build_backbone, scale_for
from pipeline.foundation.errors import PipelineError


def build_transfer(
    backbone: str,
    weights: str,
    weights_base: Path,
    shape: tuple[int, int, int],
    num_classes: int,
    head_units: Sequence[int],
    dropout: float,
) -> keras.Model:
    """uint8 images (N, height, width, 1 or 3) to logits, float32 (N, classes), backbone frozen.

    Images below the backbone's smallest size are enlarged, single channels repeated. The head sees
    the maximum and the mean of every feature: objects differ in whether a feature occurs and in how
    much of it there is.

    Raises PipelineError where the backbone is unknown or its weights are not to be had.
    """
    if backbone not in BACKBONES:
        close = difflib.get_close_matches(backbone, BACKBONES, n=1)
        raise PipelineError(
            f"There is no backbone '{backbone}'.",
            expected="one of " + ", ".join(BACKBONES),
            remedy=f"did you mean '{close[0]}'?" if close else "change train_transfer.backbone",
        )
    inputs = keras.Input(shape, dtype="uint8", name="image")
    # Backbones take grey levels as floats; a Rescaling by 1 is the layer that casts.
    x = layers.Rescaling(1.0, dtype="float32", name="to_float")(inputs)
    if shape[-1] == 1:
        x = layers.Concatenate(name="to_rgb", dtype="float32")([x, x, x])
    size = max(shape[0], BACKBONES[backbone].smallest_size)
    if size != shape[0]:
        x = layers.Resizing(size, size, interpolation="bilinear", dtype="float32", name="enlarge")(x)
    network = build_backbone(backbone, (size, size, 3), weights, weights_base)
    network.trainable = False
    features = network(scale_for(backbone, x))
    x = layers.Concatenate(name="features")(
        [
            layers.GlobalMaxPooling2D(name="feature_maximum")(features),
            layers.GlobalAveragePooling2D(name="feature_mean")(features),
        ]
    )
    for number, units in enumerate(head_units, start=1):
        x = layers.Dense(units, use_bias=False, name=f"head{number}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"head{number}_norm")(x)
        x = layers.ReLU(name=f"head{number}_relu")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"head{number}_dropout")(x)
    logits = layers.Dense(num_classes, name="classifier", dtype="float32")(x)
    return keras.Model(inputs, logits, name=f"{backbone}_transfer")


def require_layer(model: keras.Model, unfreeze_from: str) -> None:
    """Raises PipelineError where `unfreeze_from` is neither "all" nor a layer of the model's backbone."""
    backbone = _backbone(model)
    names = [layer.name for layer in backbone.layers]
    if unfreeze_from != "all" and unfreeze_from not in names:
        close = difflib.get_close_matches(unfreeze_from, names, n=1)
        raise PipelineError(
            f"{backbone.name} has no layer '{unfreeze_from}'.",
            expected="all, or one of " + ", ".join(names),
            remedy=f"did you mean '{close[0]}'?" if close else "change train_transfer.unfreeze_from",
        )


def unfreeze(model: keras.Model, unfreeze_from: str, frozen_batch_norm: bool) -> None:
    """Make the backbone of a transfer network trainable from a layer on.

    Args:
      model: made by build_transfer; changed in place, compile it afterwards.
      unfreeze_from: "all", or the name of the first layer to train.
      frozen_batch_norm: keep normalisation layers, with their statistics, as they were pretrained.

    Raises:
      PipelineError: the backbone has no layer of that name.
    """
    require_layer(model, unfreeze_from)
    backbone = _backbone(model)
    names = [layer.name for layer in backbone.layers]
    first = 0 if unfreeze_from == "all" else names.index(unfreeze_from)
    backbone.trainable = True
    for position, layer in enumerate(backbone.layers):
        frozen_norm = frozen_batch_norm and isinstance(layer, layers.BatchNormalization)
        # The whitening of the bundled backbone is a fixed change of basis, no learned layer.
        layer.trainable = position >= first and not frozen_norm and layer.name != "whitening"


def _backbone(model: keras.Model) -> keras.Model:
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))
