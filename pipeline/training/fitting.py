"""Fitting a network for some epochs, so that a kill costs an epoch and changes nothing.

State that a resumed training needs is read back from files, never kept in two places: which epoch
was the best, whether to stop early, and which checkpoint is the newest all follow from the history.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import atomic_path, read_json, write_json
from pipeline.images.arrays import ImageArrays
from pipeline.params.augmentation import AugmentationParams
from pipeline.training.batches import PlainBatches, TrainingBatches, class_weights
from pipeline.training.schedules import WarmUpSchedule

_SECONDS_BETWEEN_PROGRESS_LINES = 5.0
_DROPOUT = 2  # a random stream beside the two of the batches


@dataclass(frozen=True)
class EpochResult:
    """One row of the history; `epoch` counts from 1 over all phases.

    Losses are the fitted ones, label smoothing included; `learning_rate` is that of the last step.
    """

    phase: str
    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float


class DivergedError(PipelineError):
    """The loss is not finite any more."""


@dataclass(frozen=True)
class TrainingData:
    """What a network is fitted on and watched with; `fill` are grey levels that cutout paints."""

    train: ImageArrays
    validation: ImageArrays
    num_classes: int
    fill: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class FitPlan:
    """How one phase of a training goes.

    Attributes:
      phase: its name in the history.
      epochs_before: epochs that earlier phases have run.
      epochs: the most epochs of this phase; early stopping may end it before.
      learning_rate: the schedule's peak.
      early_stopping_patience: epochs without a lower validation loss, or None for all epochs and
        the last weights.
      class_weights: none or balanced.
    """

    phase: str
    epochs_before: int
    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str
    schedule: str
    warmup_share: float
    weight_decay: float
    label_smoothing: float
    early_stopping_patience: int | None
    class_weights: str
    augmentation: AugmentationParams
    seed: int


def fit(
    model: keras.Model,
    data: TrainingData,
    plan: FitPlan,
    checkpoints: Path,
    on_epoch: Callable[[EpochResult, float], None],
) -> list[EpochResult]:
    """Fit `model` in place, going on from `checkpoints` where a killed run left some.

    Args:
      model: takes uint8 images, returns logits.
      data: training images, and validation images that are looked at after every epoch.
      plan: the phase.
      checkpoints: a folder of this phase's own; it may exist from a run that was killed.
      on_epoch: called after every epoch that is really trained, with its images per second.

    Returns:
      The history of this phase's epochs, those of killed runs included. With early stopping the
      model then has the weights of the epoch with the lowest validation loss.

    Raises:
      DivergedError: the loss is not finite.
    """
    batches = TrainingBatches(
        data.train,
        data.num_classes,
        plan.batch_size,
        plan.augmentation,
        data.fill,
        class_weights(data.train.labels, data.num_classes, plan.class_weights),
        plan.seed,
    )
    total_steps = plan.epochs * len(batches)
    schedule = WarmUpSchedule(
        plan.schedule, plan.learning_rate, total_steps, round(plan.warmup_share * total_steps)
    )
    model.compile(
        optimizer=_optimizer(model, plan, schedule),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=plan.label_smoothing),
        metrics=["accuracy"],
    )
    epochs = _Epochs(model, plan, schedule, checkpoints, on_epoch)
    epochs.resume()
    validation = PlainBatches(data.validation, data.num_classes, plan.batch_size)
    while not epochs.ended:
        epochs.run(batches, validation)
    if plan.early_stopping_patience is not None:
        model.load_weights(epochs.weights_file(best_index(epochs.history) + 1))
    return epochs.history


def best_index(history: list[EpochResult]) -> int:
    """The index of the epoch with the lowest validation loss, the first of equals."""
    return int(np.argmin([result.val_loss for result in history]))


class _Epochs:
    """Runs epochs one after the other, keeps history and weights after each, says how it goes.

    Batches go through `train_on_batch`, not `Model.fit`: there, batches made in Python pass a thread
    of tf.data's, and TensorFlow 2.21 now and then waits for ever between two epochs (the iterator is
    destroyed by a thread that holds Python's lock, and waits for one that wants it). Steps are long
    enough that nothing is lost by making the next batch after the last step.
    """

    def __init__(
        self,
        model: keras.Model,
        plan: FitPlan,
        schedule: WarmUpSchedule,
        checkpoints: Path,
        on_epoch: Callable[[EpochResult, float], None],
    ) -> None:
        self._model = model
        self._plan = plan
        self._schedule = schedule
        self._checkpoints = checkpoints
        self._history_file = checkpoints / "history.json"
        self._on_epoch = on_epoch
        self.history: list[EpochResult] = []

    @property
    def ended(self) -> bool:
        patience = self._plan.early_stopping_patience
        if (
            patience is not None
            and self.history
            and len(self.history) - 1 - best_index(self.history) >= patience
        ):
            return True
        return len(self.history) >= self._plan.epochs

    def weights_file(self, epoch: int) -> Path:
        """Where the weights after this epoch of the phase, counted from 1, are kept."""
        return self._checkpoints / f"epoch-{epoch:05d}.weights.h5"

    def resume(self) -> None:
        """Take weights, optimizer state and history from the newest checkpoint, if there is one."""
        if not self._history_file.exists():
            return
        self.history = [EpochResult(**row) for row in read_json(self._history_file)]
        self._model.optimizer.build(self._model.trainable_variables)
        self._model.load_weights(self.weights_file(len(self.history)))
        print(f"{self._plan.phase}: going on after epoch {len(self.history)}", flush=True)

    def run(self, batches: TrainingBatches, validation: PlainBatches) -> None:
        """Train and look at one epoch. Raises DivergedError."""
        # Counted over all phases: fine-tuning shall not meet the very images of the head's epochs again.
        epoch = self._plan.epochs_before + len(self.history)
        batches.start_at_epoch(epoch)
        _seed_dropout(self._model, [self._plan.seed, _DROPOUT, epoch])
        began = time.monotonic()
        trained = self._train(batches)
        speed = batches.images_per_epoch / (time.monotonic() - began)
        looked_at = self._look_at(validation)
        steps = int(keras.ops.convert_to_numpy(self._model.optimizer.iterations))
        result = EpochResult(
            phase=self._plan.phase,
            epoch=epoch + 1,
            loss=trained["loss"],
            accuracy=trained["accuracy"],
            val_loss=looked_at["loss"],
            val_accuracy=looked_at["accuracy"],
            learning_rate=float(keras.ops.convert_to_numpy(self._schedule(steps - 1))),
        )
        self.history = [*self.history, result]
        print(
            f"  {result.phase} epoch {len(self.history)}/{self._plan.epochs}: "
            f"loss {result.loss:.4f}  accuracy {result.accuracy:.4f}  "
            f"validation loss {result.val_loss:.4f}  accuracy {result.val_accuracy:.4f}  "
            f"({speed:.0f} images/s)",
            flush=True,
        )
        # Recorded before it is kept: a kill between the two repeats a point of a curve and loses none.
        self._on_epoch(result, speed)
        self._save()

    def _train(self, batches: TrainingBatches) -> dict[str, float]:
        """One pass over the training images; mean loss and accuracy as they were on the way."""
        means = _Means()
        last_line = time.monotonic()
        for index in range(len(batches)):
            images, targets, weights = batches[index]
            logs = self._model.train_on_batch(images, targets, weights, return_dict=True)
            self._require_finite("loss", float(logs["loss"]))
            means.add(logs, len(images))
            if time.monotonic() - last_line >= _SECONDS_BETWEEN_PROGRESS_LINES:
                last_line = time.monotonic()
                done = (index + 1) / len(batches)
                accuracy = means.values()["accuracy"]
                print(f"  epoch {len(self.history) + 1}: {done:4.0%}  accuracy {accuracy:.3f}", flush=True)
        return means.values()

    def _look_at(self, validation: PlainBatches) -> dict[str, float]:
        """Loss and accuracy on the validation images."""
        means = _Means()
        for index in range(len(validation)):
            images, targets = validation[index]
            means.add(self._model.test_on_batch(images, targets, return_dict=True), len(images))
        # The last step of an epoch may break the weights after its own loss was still finite.
        self._require_finite("validation loss", means.values()["loss"])
        return means.values()

    def _require_finite(self, name: str, loss: float) -> None:
        if not math.isfinite(loss):
            raise DivergedError(
                f"{self._plan.phase}: the {name} is not finite any more in epoch {len(self.history) + 1}.",
                found=f"{name} {loss} at a peak learning rate of {self._plan.learning_rate:g}",
                remedy="lower lr (in tune: tune.space.lr) or weight_decay",
            )

    def _save(self) -> None:
        """Weights first, then the history that names them, then what neither of them needs any more."""
        self._checkpoints.mkdir(parents=True, exist_ok=True)
        newest = self.weights_file(len(self.history))
        with atomic_path(newest) as temporary:
            # Keras insists on the ending, which the temporary name keeps only in part.
            weights = temporary.with_name(temporary.name + ".weights.h5")
            try:
                self._model.save_weights(weights)
                weights.replace(temporary)
            finally:
                weights.unlink(missing_ok=True)
        write_json(self._history_file, [asdict(result) for result in self.history])
        needed = {newest, self.weights_file(best_index(self.history) + 1)}
        for old in self._checkpoints.glob("epoch-*.weights.h5"):
            if old not in needed:
                old.unlink()


class _Means:
    """Means over images of what Keras returns as means over a batch."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._images = 0

    def add(self, logs: dict[str, Any], images: int) -> None:
        self._images += images
        for name, value in logs.items():
            self._sums[name] = self._sums.get(name, 0.0) + images * float(value)

    def values(self) -> dict[str, float]:
        return {name: total / self._images for name, total in self._sums.items()}


def _seed_dropout(model: keras.Model, entropy: list[int]) -> None:
    """Let every dropout mask of an epoch follow from `entropy`: Keras keeps their state in no checkpoint."""
    weights = {id(weight) for weight in model.weights}
    generator = np.random.default_rng(entropy)
    for variable in model.variables:
        if id(variable) not in weights:  # what Keras has beside weights are the states of random seeds
            seed = generator.integers(2**31)
            variable.assign(np.asarray([seed, 0], dtype=variable.dtype))


def _optimizer(model: keras.Model, plan: FitPlan, schedule: WarmUpSchedule) -> keras.optimizers.Optimizer:
    weight_decay = plan.weight_decay or None
    if plan.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=weight_decay)
    elif plan.optimizer == "adam":
        optimizer = keras.optimizers.Adam(schedule, weight_decay=weight_decay)
    else:
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=plan.weight_decay)
    if weight_decay:
        # Biases and the scales and shifts of normalisation are vectors; everything else decays.
        optimizer.exclude_from_weight_decay([v for v in model.trainable_variables if len(v.shape) < 2])
    return optimizer
