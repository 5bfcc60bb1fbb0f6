"""A pretrained backbone with a new head, and how it is fitted: first the head, then the backbone with it."""

import difflib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import layers

from pipeline.backbones.backbones import BACKBONES, build_backbone, scale_for
from pipeline.backbones.features import (
    FeatureBatches,
    FeatureCache,
    mean_and_deviation,
)
from pipeline.foundation.digests import digest_file
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import path_of
from pipeline.foundation.workspace import Workspace
from pipeline.networks.input_size import at_size
from pipeline.networks.normalization import with_fused_normalization
from pipeline.networks.precision import build, in_float32
from pipeline.params.fitting import TrainingConfig
from pipeline.params.train_transfer import TrainTransferParams, TransferConfig
from pipeline.processes.resumption import code_digest
from pipeline.training.batches import PlainBatches
from pipeline.training.data import TrainingData
from pipeline.training.fitting import EpochResult, FitPlan, Fitted, OnEpoch, fit, fit_batches, kept_epoch

_FEATURES, _SCALING = "features", "feature_scaling"
_SMALLEST_DEVIATION = 1e-3  # of a feature that hardly ever occurs, which would be blown up


def fit_transfer(
    data: TrainingData,
    config: TransferConfig,
    checkpoints: Path,
    on_epoch: OnEpoch,
    weights_base: Path,
    features: FeatureCache,
) -> Fitted:
    """Fit a new head on the frozen backbone, then fine-tune from `unfreeze_from` on, if that pays.

    Where the network was better on validation before (accuracy, then loss), it is taken back to that. A
    relative path in train_transfer.weights is meant from `weights_base`. `features` has those of the frozen
    backbone, from other trainings on the same data too.

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
            params.input_size,
        )

    model = build(builder, config.precision)
    if params.fine_tune_epochs:
        model = with_fused_normalization(model)
    # Now, so that a misspelled name does not cost the head's epochs.
    require_layer(model, params.unfreeze_from)
    history: list[EpochResult] = []
    ended: list[tuple[FitPlan, EpochResult]] = []
    weights_of_head: list[np.ndarray] = []
    for phase, epochs, scale in (
        ("head", params.head_epochs, params.head_lr_scale),
        ("fine_tune", params.fine_tune_epochs, params.fine_tune_lr_scale),
    ):
        if epochs == 0:
            continue
        if phase == "fine_tune":
            weights_of_head = model.get_weights()
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
        if phase == "head":
            history += _fit_head(model, data, plan, params, features, checkpoints, on_epoch)
        else:
            history += fit(model, data, plan, checkpoints / phase, on_epoch)
        ended.append((plan, kept_epoch(plan, history)))
    kept, _ = max(ended, key=lambda each: (each[1].val_accuracy, -each[1].val_loss))
    if kept is not plan:
        print("  fine-tuning was no better on validation: the network before it is kept", flush=True)
        _backbone(model).trainable = False
        model.set_weights(weights_of_head)
    return Fitted(model, history, kept, params.backbone, config, partial(in_float32, model, builder))


def feature_cache(workspace: Workspace, config: TrainingConfig, weights: str) -> FeatureCache:
    """The features that all trainings of the project share; `weights` as in train_transfer."""
    own = workspace.home / path_of(weights)
    made_of = [
        config.threads,
        config.precision,
        code_digest(["pipeline/backbones", "pipeline/networks", "pipeline/images"]),
        keras.__version__,
        keras.backend.backend(),
        digest_file(own) if own.is_file() else weights,
    ]
    return FeatureCache(workspace.features, config.seed, made_of)


def _fit_head(
    model: keras.Model,
    data: TrainingData,
    plan: FitPlan,
    params: TrainTransferParams,
    cache: FeatureCache,
    checkpoints: Path,
    on_epoch: OnEpoch,
) -> list[EpochResult]:
    """Fit what stands above the frozen backbone, whose features are computed once."""
    frozen = keras.Model(model.input, model.get_layer(_FEATURES).output)
    decisive = [params.backbone, params.weights, params.input_size]
    features = cache.features(frozen, decisive, data, plan.augmentation, params.head_views)
    mean, deviation = mean_and_deviation(features)
    # Divided by the root of their number as well, so that the same learning rates fit any number of them.
    variance = len(mean) * np.maximum(deviation, _SMALLEST_DEVIATION) ** 2
    model.get_layer(_SCALING).set_weights([mean, variance])
    head = _above(model, _FEATURES)
    return fit_batches(
        head,
        FeatureBatches(features, data, plan.batch_size, plan.params.class_weights, plan.seed),
        PlainBatches(features.validation.features, data.validation.labels, data.num_classes, plan.batch_size),
        plan,
        checkpoints / plan.phase,
        on_epoch,
    )


def _above(model: keras.Model, name: str) -> keras.Model:
    """The layers after the one of this name, on the same weights; they follow each other."""
    names = [layer.name for layer in model.layers]
    x = inputs = keras.Input(model.get_layer(name).output.shape[1:], name=name)
    for layer in model.layers[names.index(name) + 1 :]:
        x = layer(x)
    return keras.Model(inputs, x)


def build_transfer(
    backbone: str,
    weights: str,
    weights_base: Path,
    shape: tuple[int, int, int],
    num_classes: int,
    head_units: Sequence[int],
    dropout: float,
    input_size: int | None = None,
) -> keras.Model:
    """uint8 images (N, height, width, 1 or 3) to logits, float32 (N, classes), backbone frozen.

    Images come to `input_size` (None: they keep their size), those below the backbone's smallest size are
    enlarged, single channels repeated. The head sees the maximum and the mean of every feature: objects
    differ in whether a feature occurs and in how much of it there is. They are scaled by constants that
    `fit_transfer` takes from the training images.

    Raises PipelineError where the backbone is unknown, its weights cannot be found, or the size does not fit.
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
    size = max(input_size or shape[0], BACKBONES[backbone].smallest_size)
    x = at_size(x, size)
    network = build_backbone(backbone, (size, size, 3), weights, weights_base)
    network.trainable = False
    features = network(scale_for(backbone, x))
    x = layers.Concatenate(name=_FEATURES, dtype="float32")(
        [
            layers.GlobalMaxPooling2D(name="feature_maximum")(features),
            layers.GlobalAveragePooling2D(name="feature_mean")(features),
        ]
    )
    # A layer of its own kind would not reach every runtime; this one, never trained, is two constants.
    x = layers.BatchNormalization(
        epsilon=0.0, center=False, scale=False, trainable=False, dtype="float32", name=_SCALING
    )(x)
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
