"""CIFAR-10 and CIFAR-100 in their official binary version (Krizhevsky 2009), which needs no pickle.

https://www.cs.toronto.edu/~kriz/cifar.html
"""

import tarfile
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

_SIDE = 32
_PIXEL_BYTES = 3 * _SIDE * _SIDE


@dataclass(frozen=True)
class CifarDataset:
    """RGB images of 32x32 pixels.

    Attributes:
      archive: .tar.gz with everything.
      class_names: member of the archive, one name per line.
      subsets: official subset to the members that hold its records.
      label_bytes: bytes before the pixels of each record; the last is the label that is used.
        (CIFAR-100 has a coarse label first, then the fine one.)
    """

    origin: str
    archive: RemoteFile
    class_names: str
    subsets: Mapping[str, tuple[str, ...]]
    label_bytes: int

    @contextmanager
    def open(self, location: Location, params: FetchParams, downloads: Path) -> Iterator[ImageSource]:
        [path] = obtain([self.archive], location, downloads)
        members = _read_members(
            path, {self.class_names, *(name for names in self.subsets.values() for name in names)}
        )
        classes = tuple(members[self.class_names].decode("ascii").split())
        subsets = {
            subset: self._parse(b"".join(members[name] for name in names))
            for subset, names in self.subsets.items()
        }
        yield array_source(subsets, classes, content_fingerprint([self.archive], location, params.limits))

    def _parse(self, data: bytes) -> tuple[UInt8[np.ndarray, "n 32 32 3"], UInt8[np.ndarray, " n"]]:
        """Records of labels, then all red, all green and all blue pixels, each row by row."""
        records = np.frombuffer(data, dtype=np.uint8).reshape(-1, self.label_bytes + _PIXEL_BYTES)
        planes = records[:, self.label_bytes :].reshape(-1, 3, _SIDE, _SIDE)
        return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), records[:, self.label_bytes - 1]


def _read_members(path: Path, wanted: set[str]) -> dict[str, bytes]:
    """Files of a tar archive by the last part of their name, read without unpacking."""
    found: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = member.name.rpartition("/")[2]
            file = archive.extractfile(member) if name in wanted else None
            if file is not None:
                found[name] = file.read()
    missing = sorted(wanted - found.keys())
    if missing:
        raise PipelineError(f"{path} lacks a part of the data set.", expected=", ".join(missing))
    return found
