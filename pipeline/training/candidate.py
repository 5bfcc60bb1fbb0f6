"""What the two ways to a trained network, from scratch and from a pretrained backbone, have in common."""

from collections.abc import Callable
from dataclasses import dataclass

import keras

from pipeline.networks.precision import in_float32
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.fitting import FittingParams
from pipeline.training.fitting import EpochResult, FitPlan, best_index

OnEpoch = Callable[[EpochResult, float], None]


@dataclass(frozen=True)
class Hardware:
    """What besides params and data decides the bits of a result, as far as it can be chosen."""

    seed: int
    precision: str


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


def kept_epoch(history: list[EpochResult], params: FittingParams) -> EpochResult:
    """The epoch whose weights a phase ends with."""
    return history[-1 if params.early_stopping_patience is None else best_index(history)]


def phase_plan(
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
