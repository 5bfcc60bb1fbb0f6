"""What a frozen backbone makes of every image: computed once, and kept on disk while a head is fitted."""

import os
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipeline.foundation.array_types import Float16, Float32, Float64, Int64, UInt8
from pipeline.foundation.digests import digest_json
from pipeline.foundation.files import atomic_path
from pipeline.images.arrays import ImageArrays
from pipeline.images.augmentation import augment
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.fitting import ClassWeights
from pipeline.processes.locks import held
from pipeline.training.batches import ShuffledBatches, one_hot
from pipeline.training.data import TrainingData

_VIEW = 3  # a random stream beside those of batches and dropout
_BATCH = 64
_SECONDS_BETWEEN_PROGRESS_LINES = 5.0

_ImageBatches = Iterator[tuple[UInt8[np.ndarray, "n h w c"], Float32[np.ndarray, "n k"]]]
"""With their targets; drawn only where a view has to be computed."""


@dataclass(frozen=True)
class View:
    """Every image of a subset once, as it is or augmented.

    Attributes:
      features: a memory map; half precision, as they are inputs of a fitting and no results.
      targets: mixed where images were mixed.
    """

    features: Float16[np.ndarray, "n features"]
    targets: Float32[np.ndarray, "n k"]


@dataclass(frozen=True)
class Features:
    """Those of the training images in several views, and of the validation images as they are."""

    train: tuple[View, ...]
    validation: View


@dataclass(frozen=True)
class FeatureCache:
    """A folder of features that trainings, stages and experiments share.

    Each view is found again by all that decides it, and a kill costs the one that was not ready. What has not
    been used for longest goes where all would take more than `most_bytes`.

    Attributes:
      seed: of the changes that make views of an image.
      made_of: all else that decides features beside the network's own params and the data, as JSON knows it.
    """

    folder: Path
    seed: int
    made_of: Sequence[Any]
    most_bytes: int = 2_000_000_000

    def features(
        self,
        network: keras.Model,
        params: Sequence[Any],
        data: TrainingData,
        augmentation: AugmentationParams,
        views: int,
    ) -> Features:
        """Those of all images, at 2 bytes for each feature of each view.

        Args:
          network: uint8 images to features, float32 (N, features).
          params: all that decides the network, as JSON knows it.
          data: training and validation images.
          augmentation: changes the training images in all views but the first.
          views: how many of the training images.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        base = [*self.made_of, *params, data.digest]
        with held(self.folder / "lock", "another process is computing features; waiting for it to end"):
            for killed in self.folder.glob(".*.npy"):
                killed.unlink()
            train, used = [], set()
            for number in range(views):
                changes = [number, self.seed, augmentation.model_dump(mode="json")] if number else [0]
                place = self.folder / digest_json([*base, "train", *changes])
                used.add(place.name)
                title = f"features of view {number + 1} of {views}"
                batches = self._augmented(data, augmentation, number) if number else _plain(data.train, data)
                train.append(_view(network, batches, len(data.train), place, title))
            place = self.folder / digest_json([*base, "validation"])
            plain = _plain(data.validation, data)
            validation = _view(network, plain, len(data.validation), place, "features of validation")
            self._forget_the_oldest({*used, place.name})
        return Features(tuple(train), validation)

    def _forget_the_oldest(self, used: Container[str]) -> None:
        """Those of this training stay, however large they are, as do those that others have opened."""
        total = 0
        for file in sorted(self.folder.glob("*.npy"), key=lambda file: -file.stat().st_mtime):
            total += file.stat().st_size
            if total > self.most_bytes and file.name.partition(".")[0] not in used:
                file.unlink()

    def _augmented(self, data: TrainingData, params: AugmentationParams, view: int) -> _ImageBatches:
        for index, (images, targets) in enumerate(_plain(data.train, data)):
            generator = np.random.default_rng([self.seed, _VIEW, view, index])
            yield augment(images, targets, params, data.statistics.mean, generator)


def _plain(subset: ImageArrays, data: TrainingData) -> _ImageBatches:
    for rows in _slices(len(subset)):
        yield subset.images[rows], one_hot(subset.labels[rows], data.num_classes)


def mean_and_deviation(
    features: Features,
) -> tuple[Float64[np.ndarray, " features"], Float64[np.ndarray, " features"]]:
    """Of every feature over all views of the training images."""
    count, total, squares = 0, np.zeros(()), np.zeros(())
    for view in features.train:
        for rows in _slices(len(view.features)):
            part = view.features[rows].astype(np.float64)
            count, total, squares = count + len(part), total + part.sum(0), squares + (part**2).sum(0)
    mean = total / count
    return mean, np.sqrt(np.maximum(squares / count - mean**2, 0.0))


class FeatureBatches(ShuffledBatches):
    """Shuffled features of images; epoch after epoch another view of them."""

    def __init__(
        self, features: Features, data: TrainingData, batch_size: int, weights: ClassWeights, seed: int
    ) -> None:
        super().__init__(data, batch_size, weights, seed)
        self._views = features.train

    def _batch(
        self, rows: Int64[np.ndarray, " n"], index: int
    ) -> tuple[Float32[np.ndarray, "n features"], Float32[np.ndarray, "n k"]]:
        view = self._views[self._epoch % len(self._views)]
        return view.features[rows].astype(np.float32), view.targets[rows]


def _view(network: keras.Model, batches: _ImageBatches, count: int, place: Path, title: str) -> View:
    """The view in two files at `place`, made now where they are not both there."""
    features_file, targets_file = place.with_suffix(".features.npy"), place.with_suffix(".targets.npy")
    if not (targets_file.exists() and features_file.exists()):
        print(f"  {title}: {count:,} images", flush=True)
        targets = []
        with atomic_path(features_file) as temporary:
            kept = np.lib.format.open_memmap(
                temporary, mode="w+", dtype=np.float16, shape=(count, network.output.shape[-1])
            )
            done, began = 0, time.monotonic()
            last_line = began
            for images, own in batches:
                kept[done : done + len(images)] = np.asarray(network.predict_on_batch(images))
                targets.append(own)
                done += len(images)
                if (now := time.monotonic()) - last_line >= _SECONDS_BETWEEN_PROGRESS_LINES:
                    last_line = now
                    print(
                        f"  {title}: {done / count:4.0%}  ({done / (now - began):.0f} images/s)", flush=True
                    )
            kept.flush()
        with atomic_path(targets_file) as temporary, temporary.open("wb") as file:
            np.save(file, np.concatenate(targets))
    for used in (features_file, targets_file):
        os.utime(used)
    return View(np.load(features_file, mmap_mode="r"), np.load(targets_file))


def _slices(count: int) -> Sequence[slice]:
    return [slice(start, start + _BATCH) for start in range(0, count, _BATCH)]
