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
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.fitting import FittingParams, TrainingConfig
from pipeline.training.batches import PlainBatches, ShuffledBatches, TrainingBatches
from pipeline.training.data import TrainingData
from pipeline.training.optimizers import WarmUpSchedule, build_optimizer

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
    """The loss is no longer finite."""


OnEpoch = Callable[[EpochResult, float], None]
"""Called after every epoch that is really trained, with its images per second."""


@dataclass(frozen=True, kw_only=True)
class FitPlan:
    """How one phase of a training goes.

    Attributes:
      phase: its name in the history.
      epochs_before: epochs that earlier phases have run.
      epochs: the most epochs of this phase; early stopping may end it before.
      learning_rate: the schedule's peak.
      params: optimizer, schedule, loss and early stopping.
    """

    phase: str
    epochs_before: int
    epochs: int
    learning_rate: float
    batch_size: int
    params: FittingParams
    augmentation: AugmentationParams
    seed: int


@dataclass(frozen=True)
class Fitted:
    """A network that has been fitted.

    Attributes:
      trained: the network as it was fitted, in the precision of the fitting; returns logits.
      history: all epochs of all phases.
      kept_plan: the plan of the phase whose weights `trained` has.
      network: what people call it, the name of its backbone where it has one.
      config: all that decided it beside the data.
      final_model: makes a network of the same weights in float32, uint8 images (N, height, width,
        channels) to class probabilities.
    """

    trained: keras.Model
    history: list[EpochResult]
    kept_plan: FitPlan
    network: str
    config: TrainingConfig
    final_model: Callable[[], keras.Model]

    @property
    def kept(self) -> EpochResult:
        """The epoch whose weights `trained` has."""
        return kept_epoch(self.kept_plan, self.history)

    @property
    def stopped_early(self) -> bool:
        """Whether the phase that is kept ended before its last epoch."""
        return len(_of_phase(self.kept_plan, self.history)) < self.kept_plan.epochs


def kept_epoch(plan: FitPlan, history: list[EpochResult]) -> EpochResult:
    """The epoch whose weights a network has at the end of a phase."""
    epochs = _of_phase(plan, history)
    return epochs[-1 if plan.params.early_stopping_patience is None else best_index(epochs)]


def _of_phase(plan: FitPlan, history: list[EpochResult]) -> list[EpochResult]:
    return [result for result in history if result.phase == plan.phase]


def fit(
    model: keras.Model,
    data: TrainingData,
    plan: FitPlan,
    checkpoints: Path,
    on_epoch: OnEpoch,
) -> list[EpochResult]:
    """Fit `model` in place, going on from `checkpoints` where a killed run left some.

    Args:
      model: takes uint8 images, returns logits.
      data: training images, and validation images that are looked at after every epoch.
      plan: the phase.
      checkpoints: a folder of this phase's own; it may exist from a run that was killed.
      on_epoch: told of every epoch.

    Returns:
      The history of this phase's epochs, those of killed runs included. With early stopping the
      model then has the weights of the epoch with the lowest validation loss.

    Raises:
      DivergedError: the loss is not finite.
    """
    batches = TrainingBatches(data, plan.batch_size, plan.augmentation, plan.params.class_weights, plan.seed)
    watched = data.validation
    validation = PlainBatches(watched.images, watched.labels, data.num_classes, plan.batch_size)
    return fit_batches(model, batches, validation, plan, checkpoints, on_epoch)


def fit_batches(
    model: keras.Model,
    batches: ShuffledBatches,
    validation: PlainBatches,
    plan: FitPlan,
    checkpoints: Path,
    on_epoch: OnEpoch,
) -> list[EpochResult]:
    """The same for a model that takes something else than images, what `batches` and `validation` have."""
    params = plan.params
    steps = plan.epochs * len(batches)
    schedule = WarmUpSchedule(params.schedule, plan.learning_rate, steps, round(params.warmup_share * steps))
    model.compile(
        optimizer=build_optimizer(params, schedule, model),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=params.label_smoothing),
        metrics=["accuracy"],
    )
    epochs = _Epochs(model, plan, schedule, checkpoints, on_epoch)
    epochs.resume()
    while not epochs.ended:
        epochs.run(batches, validation)
    if params.early_stopping_patience is not None:
        epochs.restore(best_index(epochs.history) + 1)
    return epochs.history


def best_index(history: list[EpochResult]) -> int:
    """The index of the epoch with the lowest validation loss, the first of equals."""
    return int(np.argmin([result.val_loss for result in history]))


class _Epochs:
    """Runs epochs one after the other, keeps history and weights after each, says how it goes.

    Batches go through `train_on_batch`, not `Model.fit`: there, batches made in Python pass a thread
    of tf.data's, and TensorFlow 2.21 sometimes waits forever between two epochs (the iterator is
    destroyed by a thread that holds Python's lock, and waits for one that wants it). Steps are long
    enough that nothing is lost by making the next batch after the last step.
    """

    def __init__(
        self,
        model: keras.Model,
        plan: FitPlan,
        schedule: WarmUpSchedule,
        checkpoints: Path,
        on_epoch: OnEpoch,
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
        patience = self._plan.params.early_stopping_patience
        if (
            patience is not None
            and self.history
            and len(self.history) - 1 - best_index(self.history) >= patience
        ):
            return True
        return len(self.history) >= self._plan.epochs

    def restore(self, epoch: int) -> None:
        """Take weights and optimizer state as they were after this epoch of the phase, counted from 1."""
        with np.load(self._checkpoint(epoch)) as arrays:
            for name, variable in zip(arrays.files, self._variables, strict=True):
                variable.assign(arrays[name])

    def resume(self) -> None:
        """Take weights, optimizer state and history from the newest checkpoint, if there is one."""
        if not self._history_file.exists():
            return
        self.history = [EpochResult(**row) for row in read_json(self._history_file)]
        self._model.optimizer.build(self._model.trainable_variables)
        self.restore(len(self.history))
        print(f"{self._plan.phase}: going on after epoch {len(self.history)}", flush=True)

    def run(self, batches: ShuffledBatches, validation: PlainBatches) -> None:
        """Train and look at one epoch. Raises DivergedError."""
        # Counted over all phases: fine-tuning must not meet the very same batches as the head's epochs again.
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

    def _train(self, batches: ShuffledBatches) -> dict[str, float]:
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
                f"{self._plan.phase}: the {name} is no longer finite in epoch {len(self.history) + 1}.",
                found=f"{name} {loss} at a peak learning rate of {self._plan.learning_rate:g}",
                remedy="lower lr (in tune: tune.space.lr) or weight_decay",
            )

    def _save(self) -> None:
        """Weights first, then the history that names them, then remove what neither of them needs."""
        self._checkpoints.mkdir(parents=True, exist_ok=True)
        newest = self._checkpoint(len(self.history))
        # Not by Keras: h5py, where the disk is full, breaks the process at its end.
        with atomic_path(newest) as temporary, temporary.open("wb") as file:
            np.savez(file, *(keras.ops.convert_to_numpy(variable) for variable in self._variables))
        write_json(self._history_file, [asdict(result) for result in self.history])
        needed = {newest, self._checkpoint(best_index(self.history) + 1)}
        for old in self._checkpoints.glob("epoch-*.npz"):
            if old not in needed:
                old.unlink()

    def _checkpoint(self, epoch: int) -> Path:
        return self._checkpoints / f"epoch-{epoch:05d}.npz"

    @property
    def _variables(self) -> list[keras.Variable]:
        return [*self._model.weights, *self._model.optimizer.variables]


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
