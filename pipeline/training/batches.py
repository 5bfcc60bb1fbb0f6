"""Batches of a subset, made in NumPy; what a batch holds follows from (seed, epoch, number) alone."""

import numpy as np

from pipeline.images.arrays import ImageArrays
from pipeline.images.augmentation import augment
from pipeline.params.augmentation import AugmentationParams

_ORDER, _AUGMENTATION = 0, 1  # separate random streams


class TrainingBatches:
    """Shuffled and augmented batches; a training that was killed finds the same ones again.

    The last, smaller batch of an epoch is left out (another shuffle follows): a batch of one image
    has no variance to normalise by.
    """

    def __init__(
        self,
        subset: ImageArrays,
        num_classes: int,
        batch_size: int,
        augmentation: AugmentationParams,
        fill: tuple[float, ...],
        class_weights: np.ndarray,
        seed: int,
    ) -> None:
        self._subset = subset
        self._num_classes = num_classes
        self._batch_size = min(batch_size, len(subset))
        self._augmentation = augmentation
        self._fill = fill
        self._class_weights = class_weights
        self._seed = seed
        self.start_at_epoch(0)

    def __len__(self) -> int:
        return len(self._subset) // self._batch_size

    @property
    def images_per_epoch(self) -> int:
        return len(self) * self._batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images uint8 (B,H,W,C), targets float32 (B,K), weights float32 (B,)."""
        rows = np.sort(self._order[index * self._batch_size : (index + 1) * self._batch_size])
        labels = self._subset.labels[rows]
        targets = one_hot(labels, self._num_classes)
        generator = np.random.default_rng([self._seed, _AUGMENTATION, self._epoch, index])
        images, targets = augment(
            self._subset.images[rows], targets, self._augmentation, self._fill, generator
        )
        return images, targets, self._class_weights[labels]

    def start_at_epoch(self, epoch: int) -> None:
        """Make the batches those of this epoch, counted from 0."""
        self._epoch = epoch
        self._order = np.random.default_rng([self._seed, _ORDER, epoch]).permutation(len(self._subset))


class PlainBatches:
    """All images of a subset, in order, as they are."""

    def __init__(self, subset: ImageArrays, num_classes: int, batch_size: int) -> None:
        self._subset = subset
        self._num_classes = num_classes
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._subset) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 (B,H,W,C), targets float32 (B,K)."""
        rows = slice(index * self._batch_size, (index + 1) * self._batch_size)
        return self._subset.images[rows], one_hot(self._subset.labels[rows], self._num_classes)


def one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """int64 (N,) to float32 (N, num_classes)."""
    return np.eye(num_classes, dtype=np.float32)[labels]


def class_weights(labels: np.ndarray, num_classes: int, kind: str) -> np.ndarray:
    """Weight per class, float32 (num_classes,): all 1 (none), or inverse to how often it occurs (balanced).

    Balanced weights have mean 1 over the images where every class occurs.
    """
    if kind == "none":
        return np.ones(num_classes, np.float32)
    counts = np.bincount(labels, minlength=num_classes)
    return (len(labels) / (num_classes * np.maximum(counts, 1))).astype(np.float32)
