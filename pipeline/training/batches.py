"""Batches of a subset, made in NumPy; what a batch holds follows from (seed, epoch, number) alone."""

from typing import Protocol, assert_never

import numpy as np

from pipeline.foundation.array_types import Float32, Int64, UInt8
from pipeline.images.arrays import ImageArrays
from pipeline.images.augmentation import augment
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.fitting import ClassWeights
from pipeline.training.data import TrainingData

ORDER, AUGMENTATION = 0, 1  # separate random streams

Inputs = UInt8[np.ndarray, "n h w c"] | Float32[np.ndarray, "n features"]


class Batches(Protocol):
    """What a network is fitted on: inputs (images, or what else it takes), targets, weights in the loss."""

    def __len__(self) -> int: ...

    @property
    def images_per_epoch(self) -> int: ...

    def __getitem__(
        self, index: int
    ) -> tuple[Inputs, Float32[np.ndarray, "n k"], Float32[np.ndarray, " n"]]: ...

    def start_at_epoch(self, epoch: int) -> None: ...


class ValidationBatches(Protocol):
    """What it is looked at with after every epoch: inputs and targets."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Inputs, Float32[np.ndarray, "n k"]]: ...


class TrainingBatches:
    """Shuffled and augmented batches; a training that was killed finds the same ones again.

    The last, smaller batch of an epoch is left out (another shuffle follows): a batch of one image
    has no variance to normalize by.
    """

    def __init__(
        self,
        data: TrainingData,
        batch_size: int,
        augmentation: AugmentationParams,
        weights: ClassWeights,
        seed: int,
    ) -> None:
        self._subset = data.train
        self._num_classes = data.num_classes
        self._batch_size = min(batch_size, len(data.train))
        self._augmentation = augmentation
        self._fill = data.statistics.mean
        self._class_weights = class_weights(data.train.labels, data.num_classes, weights)
        self._seed = seed
        self.start_at_epoch(0)

    def __len__(self) -> int:
        return len(self._subset) // self._batch_size

    @property
    def images_per_epoch(self) -> int:
        return len(self) * self._batch_size

    def __getitem__(
        self, index: int
    ) -> tuple[UInt8[np.ndarray, "n h w c"], Float32[np.ndarray, "n k"], Float32[np.ndarray, " n"]]:
        """Images, targets, and the weights of both in the loss."""
        rows = np.sort(self._order[index * self._batch_size : (index + 1) * self._batch_size])
        labels = self._subset.labels[rows]
        targets = one_hot(labels, self._num_classes)
        generator = np.random.default_rng([self._seed, AUGMENTATION, self._epoch, index])
        images, targets = augment(
            self._subset.images[rows], targets, self._augmentation, self._fill, generator
        )
        return images, targets, self._class_weights[labels]

    def start_at_epoch(self, epoch: int) -> None:
        """Make the batches those of this epoch, counted from 0."""
        self._epoch = epoch
        self._order = np.random.default_rng([self._seed, ORDER, epoch]).permutation(len(self._subset))


class PlainBatches:
    """All images of a subset, in order, as they are."""

    def __init__(self, subset: ImageArrays, num_classes: int, batch_size: int) -> None:
        self._subset = subset
        self._num_classes = num_classes
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._subset) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[UInt8[np.ndarray, "n h w c"], Float32[np.ndarray, "n k"]]:
        """Images and targets."""
        rows = slice(index * self._batch_size, (index + 1) * self._batch_size)
        return self._subset.images[rows], one_hot(self._subset.labels[rows], self._num_classes)


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
