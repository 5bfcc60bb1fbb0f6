"""A pretrained backbone with a new head, and how it is fitted: first the head, then the backbone with it."""

import difflib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import keras
from keras import layers

from pipeline.backbones.backbones import BACKBONES, build_backbone, scale_for
from pipeline.foundation.errors import PipelineError
from pipeline.networks.precision import build, in_float32
from pipeline.params.train_transfer import TransferConfig
from pipeline.training.data import TrainingData
from pipeline.training.fitting import EpochResult, FitPlan, Fitted, OnEpoch, fit


def fit_transfer(
    data: TrainingData, config: TransferConfig, checkpoints: Path, on_epoch: OnEpoch, weights_base: Path
) -> Fitted:
    """Fit a new head on the frozen backbone, then fine-tune from `unfreeze_from` on.

    A relative path in train_transfer.weights is meant from `weights_base`.

    Raises PipelineError (see `fit`, `build_transfer` and `unfreeze`).
    """
    keras.utils.set_random_seed(config.seed)
    params = config.train_transfer

    def builder() -> keras.Model:
        return build_transfer(
            params.backbone,
            params.weights,
            weights_base,
            data.image_shape,
            data.num_classes,
            params.head_units,
            params.dropout,
        )

    model = build(builder, config.precision)
    # Now, so that a misspelled name does not cost the head's epochs.
    require_layer(model, params.unfreeze_from)
    history: list[EpochResult] = []
    for phase, epochs, scale in (
        ("head", params.head_epochs, params.head_lr_scale),
        ("fine_tune", params.fine_tune_epochs, params.fine_tune_lr_scale),
    ):
        if epochs == 0:
            continue
        if phase == "fine_tune":
            unfreeze(model, params.unfreeze_from, params.frozen_batch_norm)
        plan = FitPlan(
            phase=phase,
            epochs_before=len(history),
            epochs=epochs,
            learning_rate=config.lr * scale,
            batch_size=config.batch_size,
            params=params,
            augmentation=config.augmentation,
            seed=config.seed,
        )
        history += fit(model, data, plan, checkpoints / phase, on_epoch)
    return Fitted(model, history, plan, params.backbone, config, partial(in_float32, model, builder))


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

    Raises PipelineError where the backbone is unknown or its weights cannot be found.
    """
    if backbone not in BACKBONES:
        close = difflib.get_close_matches(backbone, BACKBONES, n=1)
        raise PipelineError(
            f"There is no backbone '{backbone}'.",
            expected="one of " + ", ".join(BACKBONES),
            remedy=f"did you mean '{close[0]}'?" if close else "change train_transfer.backbone",
        )
    inputs = keras.Input(shape, dtype="uint8", name="image")
    # Backbones take gray levels as floats; a Rescaling by 1 is the layer that casts.
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
      frozen_batch_norm: keep normalization layers, with their statistics, as they were pretrained.

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
