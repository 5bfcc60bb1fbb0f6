"""Decoded images of one size as arrays on disk, read through memory maps."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.foundation.array_types import Int64, UInt8
from pipeline.foundation.digests import digest_file, digest_json
from pipeline.foundation.files import read_json, require, write_json

IMAGES_FILE, LABELS_FILE, IDS_FILE = "images.npy", "labels.npy", "ids.npy"


@dataclass(frozen=True)
class ImageArrays:
    """One subset of a data set.

    Attributes:
      images: a read-only memory map when loaded.
      labels: index into the class names.
      ids: rows of the catalogue.
    """

    images: UInt8[np.ndarray, "n h w c"]
    labels: Int64[np.ndarray, " n"]
    ids: Int64[np.ndarray, " n"]

    def __post_init__(self) -> None:
        assert self.images.dtype == np.uint8, self.images.dtype
        assert self.images.ndim == 4, self.images.shape
        assert len(self.images) == len(self.labels) == len(self.ids)

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def load(cls, folder: Path) -> "ImageArrays":
        """Raises PipelineError where a file is missing."""
        images = np.load(require(folder / IMAGES_FILE), mmap_mode="r")
        return cls(images, np.load(require(folder / LABELS_FILE)), np.load(require(folder / IDS_FILE)))

    @staticmethod
    def is_there(folder: Path) -> bool:
        return (folder / IMAGES_FILE).exists()


def arrays_digest(folders: list[Path]) -> str:
    """One digest over the arrays of several subsets: the identity of the data a model has seen."""
    files = [folder / name for folder in folders for name in (IMAGES_FILE, LABELS_FILE, IDS_FILE)]
    return digest_json([digest_file(require(file)) for file in files])


@dataclass(frozen=True)
class ChannelStatistics:
    """Mean and standard deviation of every channel over the training subset, in gray levels 0 to 255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def load(cls, path: Path) -> "ChannelStatistics":
        return cls.from_json(read_json(path))

    @classmethod
    def from_json(cls, values: dict[str, list[float]]) -> "ChannelStatistics":
        return cls(mean=tuple(values["mean"]), std=tuple(values["std"]))

    def to_json(self) -> dict[str, list[float]]:
        return {"mean": list(self.mean), "std": list(self.std)}

    def save(self, path: Path) -> None:
        write_json(path, self.to_json())
