"""Data sets in the IDX format of MNIST (LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/)."""

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.foundation.array_types import UInt8
from pipeline.foundation.errors import PipelineError
from pipeline.params.fetch import FetchParams
from pipeline.sources.download import RemoteFile, content_fingerprint, obtain
from pipeline.sources.sources import ImageSource, Location, array_source

_UNSIGNED_BYTE = 0x08


@dataclass(frozen=True)
class IdxDataset:
    """Grayscale images with official subsets, each a file of images and a file of labels.

    Attributes:
      files: official subset to its images, (n, h, w), and labels, (n,).
    """

    origin: str
    classes: tuple[str, ...]
    files: Mapping[str, tuple[RemoteFile, RemoteFile]]

    @contextmanager
    def open(self, location: Location, params: FetchParams, downloads: Path) -> Iterator[ImageSource]:
        files = [file for pair in self.files.values() for file in pair]
        paths = dict(zip(files, obtain(files, location, downloads), strict=True))
        subsets = {
            subset: (_read(images, paths[images], 3), _read(labels, paths[labels], 1))
            for subset, (images, labels) in self.files.items()
        }
        yield array_source(subsets, self.classes, content_fingerprint(files, location, params.limits))


def _read(file: RemoteFile, path: Path, dimensions: int) -> UInt8[np.ndarray, "..."]:
    array = parse_idx(file.content(path), file.name)
    if array.ndim != dimensions:
        raise PipelineError(
            f"{file.name} has another shape.", expected=f"{dimensions} dimensions", found=str(array.shape)
        )
    return array


def parse_idx(data: bytes, name: str) -> UInt8[np.ndarray, "..."]:
    """An IDX file of unsigned bytes, of the shape that its header states.

    The header is big-endian: two zero bytes, the type, the number of dimensions, then each dimension
    as a 32-bit integer.

    Raises PipelineError where `data` is anything else.
    """
    dimensions = data[3] if len(data) >= 4 and data[:3] == bytes([0, 0, _UNSIGNED_BYTE]) else 0
    start = 4 + 4 * dimensions
    if not dimensions or len(data) < start:
        raise PipelineError(
            f"{name} is not an IDX file of unsigned bytes.", found=f"the first bytes {data[:4].hex()}"
        )
    shape = struct.unpack(f">{dimensions}I", data[4:start])
    values = np.frombuffer(data, dtype=np.uint8, offset=start)
    if values.size != np.prod(shape, dtype=object):
        raise PipelineError(
            f"{name} is damaged or incomplete.",
            expected=f"values for the shape {shape}",
            found=f"{values.size:,}",
        )
    return values.reshape(shape)
