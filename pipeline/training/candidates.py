"""The two ways to a trained network: from scratch, and from a pretrained backbone."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from pipeline.foundation.params import (
    AugmentationParams,
    FittingParams,
    TrainBaselineParams,
    TrainTransferParams,
)
from pipeline.networks.from_scratch import build_from_scratch
from pipeline.networks.precision import build, in_float32
from pipeline.networks.transfer import build_transfer, require_layer, unfreeze
from pipeline.training.fitting import EpochResult, FitPlan, best_index, fit
from pipeline.training.source import TrainingSource

OnEpoch = Callable[[EpochResult, float], None]


@dataclass(frozen=True)
class Hardware:
    """What besides params and data decides the bits of a result, as far as it can be chosen."""

    seed: int
    precision: str


@dataclass(frozen=True)
class Setting:
    """A network to train from scratch and how: the params of train_baseline with those it shares."""

    learning_rate: float
    batch_size: int
    network: TrainBaselineParams
    augmentation: AugmentationParams

    def to_params(self) -> dict[str, Any]:
        """The same as the parts of params.yaml that say it."""
        return {
            "lr": self.learning_rate,
            "batch_size": self.batch_size,
            "train_baseline": self.network.model_dump(mode="json"),
            "augmentation": self.augmentation.model_dump(mode="json"),
        }


@dataclass(frozen=True)
class Fitted:
    """A network that has been fitted.

    Attributes:
      trained: the network as it was fitted, in the precision of the fitting; returns logits.
      history: all epochs of all phases.
      kept: the epoch whose weights `trained` has.
      stopped_early: whether the last phase ended before its last epoch.
    """

    trained: keras.Model
    history: list[EpochResult]
    kept: EpochResult
    stopped_early: bool
    _builder: Callable[[], keras.Model]

    def final_model(self) -> keras.Model:
        """The same weights in float32: uint8 images (N, height, width, channels) to class probabilities."""
        return in_float32(self.trained, self._builder)


def fit_from_scratch(
    source: TrainingSource, setting: Setting, hardware: Hardware, checkpoints: Path, on_epoch: OnEpoch
) -> Fitted:
    """Build and fit the network that `setting` describes. Raises PipelineError (see `fit`)."""
    keras.utils.set_random_seed(hardware.seed)
    params = setting.network

    def builder() -> keras.Model:
        return build_from_scratch(
            params.network,
            source.train.images,
            source.num_classes,
            source.statistics,
            params.widths,
            params.dropout,
        )

    model = build(builder, hardware.precision)
    plan = _plan(
        "train",
        0,
        params.epochs,
        setting.learning_rate,
        setting.batch_size,
        params,
        setting.augmentation,
        hardware.seed,
    )
    history = fit(model, source.training_data, plan, checkpoints / "train", on_epoch)
    return Fitted(model, history, _kept(history, params), len(history) < params.epochs, builder)


def fit_transfer(
    source: TrainingSource,
    params: TrainTransferParams,
    augmentation: AugmentationParams,
    learning_rate: float,
    batch_size: int,
    hardware: Hardware,
    checkpoints: Path,
    on_epoch: OnEpoch,
    weights_base: Path,
) -> Fitted:
    """Fit a new head on the frozen backbone, then fine-tune from `unfreeze_from` on.

    A relative path in `params.weights` is meant from `weights_base`.

    Raises PipelineError (see `fit`, `build_transfer` and `unfreeze`).
    """
    keras.utils.set_random_seed(hardware.seed)

    def builder() -> keras.Model:
        return build_transfer(
            params.backbone,
            params.weights,
            weights_base,
            source.image_shape,
            source.num_classes,
            params.head_units,
            params.dropout,
        )

    model = build(builder, hardware.precision)
    # At once: a misspelt name shall not cost the head's epochs.
    require_layer(model, params.unfreeze_from)
    phases = [
        ("head", params.head_epochs, params.head_lr_scale),
        ("fine_tune", params.fine_tune_epochs, params.fine_tune_lr_scale),
    ]
    history: list[EpochResult] = []
    for phase, epochs, scale in phases:
        if epochs == 0:
            continue
        if phase == "fine_tune":
            unfreeze(model, params.unfreeze_from, params.frozen_batch_norm)
        plan = _plan(
            phase,
            len(history),
            epochs,
            learning_rate * scale,
            batch_size,
            params,
            augmentation,
            hardware.seed,
        )
        phase_history = fit(model, source.training_data, plan, checkpoints / phase, on_epoch)
        history += phase_history
    return Fitted(model, history, _kept(phase_history, params), len(phase_history) < plan.epochs, builder)


def _kept(history: list[EpochResult], params: FittingParams) -> EpochResult:
    """The epoch whose weights a phase ends with."""
    return history[-1 if params.early_stopping_patience is None else best_index(history)]


def _plan(
    phase: str,
    epochs_before: int,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    params: FittingParams,
    augmentation: AugmentationParams,
    seed: int,
) -> FitPlan:
    return FitPlan(
        phase=phase,
        epochs_before=epochs_before,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        optimizer=params.optimizer,
        schedule=params.schedule,
        warmup_share=params.warmup_share,
        weight_decay=params.weight_decay,
        label_smoothing=params.label_smoothing,
        early_stopping_patience=params.early_stopping_patience,
        class_weights=params.class_weights,
        augmentation=augmentation,
        seed=seed,
    )
