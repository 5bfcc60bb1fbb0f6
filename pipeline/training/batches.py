"""Batches of a subset, made in NumPy; what a batch holds follows from (seed, epoch, number) alone."""

from abc import ABC, abstractmethod
from typing import assert_never

import numpy as np

from pipeline.foundation.array_types import Float16, Float32, Int64, UInt8
from pipeline.images.augmentation import augment
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.fitting import ClassWeights
from pipeline.training.data import TrainingData

_ORDER, _AUGMENTATION = 0, 1  # separate random streams

Inputs = UInt8[np.ndarray, "n h w c"] | Float32[np.ndarray, "n features"]


class ShuffledBatches(ABC):
    """What a network is fitted on; a training that was killed finds the same batches again.

    The last, smaller batch of an epoch is left out (another shuffle follows): a batch of one image
    has no variance to normalize by.
    """

    def __init__(self, data: TrainingData, batch_size: int, weights: ClassWeights, seed: int) -> None:
        self._labels = data.train.labels
        self._num_classes = data.num_classes
        self._batch_size = min(batch_size, len(self._labels))
        self._class_weights = class_weights(self._labels, data.num_classes, weights)
        self._seed = seed
        self.start_at_epoch(0)

    def __len__(self) -> int:
        return len(self._labels) // self._batch_size

    @property
    def images_per_epoch(self) -> int:
        return len(self) * self._batch_size

    def __getitem__(self, index: int) -> tuple[Inputs, Float32[np.ndarray, "n k"], Float32[np.ndarray, " n"]]:
        """What the network takes, targets, and the weights of both in the loss."""
        rows = np.sort(self._order[index * self._batch_size : (index + 1) * self._batch_size])
        inputs, targets = self._batch(rows, index)
        return inputs, targets, self._class_weights[self._labels[rows]]

    def start_at_epoch(self, epoch: int) -> None:
        """Make the batches those of this epoch, counted from 0."""
        self._epoch = epoch
        self._order = np.random.default_rng([self._seed, _ORDER, epoch]).permutation(len(self._labels))

    @abstractmethod
    def _batch(self, rows: Int64[np.ndarray, " n"], index: int) -> tuple[Inputs, Float32[np.ndarray, "n k"]]:
        """Inputs and targets of these images, batch `index` of the epoch."""


class TrainingBatches(ShuffledBatches):
    """Shuffled and augmented images."""

    def __init__(
        self,
        data: TrainingData,
        batch_size: int,
        augmentation: AugmentationParams,
        weights: ClassWeights,
        seed: int,
    ) -> None:
        super().__init__(data, batch_size, weights, seed)
        self._images = data.train.images
        self._augmentation = augmentation
        self._fill = data.statistics.mean

    def _batch(
        self, rows: Int64[np.ndarray, " n"], index: int
    ) -> tuple[UInt8[np.ndarray, "n h w c"], Float32[np.ndarray, "n k"]]:
        targets = one_hot(self._labels[rows], self._num_classes)
        generator = np.random.default_rng([self._seed, _AUGMENTATION, self._epoch, index])
        return augment(self._images[rows], targets, self._augmentation, self._fill, generator)


class PlainBatches:
    """All images of a subset, or what else a network takes for them, in order, as they are."""

    def __init__(
        self,
        inputs: Inputs | Float16[np.ndarray, "n features"],
        labels: Int64[np.ndarray, " n"],
        num_classes: int,
        batch_size: int,
    ) -> None:
        self._inputs = inputs
        self._labels = labels
        self._num_classes = num_classes
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._labels) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[Inputs, Float32[np.ndarray, "n k"]]:
        """Inputs and targets."""
        rows = slice(index * self._batch_size, (index + 1) * self._batch_size)
        inputs = self._inputs[rows]
        if inputs.dtype == np.float16:
            inputs = inputs.astype(np.float32)
        return inputs, one_hot(self._labels[rows], self._num_classes)


def one_hot(labels: Int64[np.ndarray, " n"], num_classes: int) -> Float32[np.ndarray, "n k"]:
    """A row per label, 1 at its class."""
    targets: Float32[np.ndarray, "n k"] = np.eye(num_classes, dtype=np.float32)[labels]
    return targets


def class_weights(
    labels: Int64[np.ndarray, " n"], num_classes: int, kind: ClassWeights
) -> Float32[np.ndarray, " k"]:
    """Weight of each class in the loss: 1 (none), or inverse to how often it occurs (balanced).

    Balanced weights have mean 1 over the images where every class occurs.
    """
    match kind:
        case "none":
            return np.ones(num_classes, np.float32)
        case "balanced":
            counts = np.bincount(labels, minlength=num_classes)
            return (len(labels) / (num_classes * np.maximum(counts, 1))).astype(np.float32)
        case _:
            assert_never(kind)
