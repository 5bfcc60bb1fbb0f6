"""The verified images of a data set: a table (catalogue.csv) and their encoded bytes (images.tar).

The bytes of image `id` lie at `offset` of images.tar, `size` bytes long, so that any image is read
at once, without unpacking.
"""

import csv
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import atomic_path, read_json, require, write_json

_BLOCK = tarfile.BLOCKSIZE

csv.field_size_limit(2**31 - 1)
"""A name is as long as in its source, and csv would by itself not read what it has written."""


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One verified image.

    Attributes:
      id: 0, 1, ... in the catalogue's order.
      name: path inside the source.
      class_name: column `class` of the file.
      official_subset: train, validation or test where the source has subsets, else empty.
      pixels_sha256: equal for images that look exactly the same, however they are encoded.
      width, height: pixels, upright.
      offset, size: byte range in images.tar.
    """

    id: int
    name: str
    class_name: str
    official_subset: str
    pixels_sha256: str
    width: int
    height: int
    offset: int
    size: int


_COLUMNS = ["class" if field.name == "class_name" else field.name for field in fields(CatalogueEntry)]


@dataclass(frozen=True)
class Catalogue:
    """All verified images of a data set, by id."""

    entries: Sequence[CatalogueEntry]

    def __len__(self) -> int:
        return len(self.entries)

    def save(self, path: Path) -> None:
        names = [field.name for field in fields(CatalogueEntry)]
        write_csv(path, _COLUMNS, ([getattr(entry, name) for name in names] for entry in self.entries))

    @classmethod
    def load(cls, path: Path) -> "Catalogue":
        """Raises PipelineError where the file is missing or not a catalogue."""
        with require(path).open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            if next(reader, None) != _COLUMNS:
                raise PipelineError(
                    f"{path} is not a catalogue.",
                    expected=f"the columns {', '.join(_COLUMNS)}",
                    remedy="run 'dvc repro -f fetch'",
                )
            return cls(
                [
                    CatalogueEntry(
                        int(row[0]), row[1], row[2], row[3], row[4], *(int(value) for value in row[5:])
                    )
                    for row in reader
                ]
            )


@dataclass(frozen=True, slots=True)
class UnusedFile:
    """A file of the source that is not in the catalogue, and why.

    It is rejected where somebody may have meant it as an image of a class, else ignored.

    Attributes:
      class_name: the class that it would belong to, where that is known; for messages, and not saved.
    """

    file: str
    reason: str
    class_name: str = ""


def save_unused(path: Path, rejected: Sequence[UnusedFile]) -> None:
    write_csv(path, ["file", "reason"], ([item.file, item.reason] for item in rejected))


def load_unused(path: Path) -> list[UnusedFile]:
    with require(path).open(encoding="utf-8", newline="") as file:
        return [UnusedFile(row["file"], row["reason"]) for row in csv.DictReader(file)]


@dataclass(frozen=True)
class Provenance:
    """Where a data set came from (source.json).

    Attributes:
      dataset, location: as in params.yaml.
      origin: citation or description, for people.
      classes: names; the index is the label.
      fingerprint: changes when the source's content does.
      images, rejected, ignored: numbers of files, which together are all that the source has.
    """

    dataset: str
    location: str | None
    origin: str
    classes: tuple[str, ...]
    fingerprint: str
    images: int
    rejected: int
    ignored: int

    @property
    def files(self) -> dict[str, int]:
        """What became of the source's files; the sum is all of them."""
        return {"images": self.images, "rejected": self.rejected, "ignored": self.ignored}

    def save(self, path: Path) -> None:
        write_json(path, {field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> "Provenance":
        values = read_json(path)
        return cls(**{**values, "classes": tuple(values["classes"])})


class ImageTarWriter:
    """Writes a tar file whose bytes depend on nothing but the images' bytes and order."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._position = 0
        self._count = 0

    def append(self, data: bytes, extension: str) -> tuple[int, int]:
        """Store one image; returns its id and the offset of its bytes."""
        image_id = self._count
        # TarInfo's own values are mode 0644, no owner and the time 0.
        header = tarfile.TarInfo(f"{image_id:08d}.{extension}")
        header.size = len(data)
        self._write(header.tobuf(format=tarfile.USTAR_FORMAT))
        offset = self._position
        self._write(data)
        self._write(bytes(-len(data) % _BLOCK))
        self._count += 1
        return image_id, offset

    def finish(self) -> None:
        """Two empty blocks end a tar file, which is a whole number of records long."""
        self._write(bytes(2 * _BLOCK))
        self._write(bytes(-self._position % tarfile.RECORDSIZE))

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._position += len(data)


class EncodedImages:
    """Random access to the bytes in images.tar, from any number of threads."""

    def __init__(self, path: Path) -> None:
        self._path = require(path)
        self._file = self._path.open("rb")

    def read(self, entry: CatalogueEntry) -> bytes:
        """Raises PipelineError where the file is shorter than the catalogue says."""
        data = os.pread(self._file.fileno(), entry.size, entry.offset)
        if len(data) != entry.size:
            raise PipelineError(
                f"{self._path} does not hold image {entry.id}.",
                expected=f"{entry.size} bytes at {entry.offset}",
                found=f"{len(data)} bytes",
                remedy="run 'dvc repro -f fetch'",
            )
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def write_csv(path: Path, columns: Sequence[str], rows: Any) -> None:
    """A CSV file in UTF-8 with plain line ends, the same bytes on every system."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        quoting = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(columns)
        for row in rows:
            # The writer quotes what has its own line end; a reader takes a carriage return for one as well.
            (quoting if any("\r" in str(value) for value in row) else writer).writerow(row)
