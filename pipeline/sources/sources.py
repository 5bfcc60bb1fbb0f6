"""What every kind of data set offers to the import: a list of images and a way to read each."""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from pipeline.foundation.array_types import Integer, UInt8
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.texts import first_few
from pipeline.images.catalogue import UnusedFile
from pipeline.images.decoding import encode_png
from pipeline.params.fetch import FetchParams

_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_DRIVE = re.compile(r"[a-zA-Z]:[\\/]")


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One image that a source claims to have.

    Attributes:
      name: path inside the source.
      class_name: its class.
      official_subset: train, validation or test where the source has subsets, else empty.
    """

    name: str
    class_name: str
    official_subset: str


@dataclass(frozen=True)
class ImageSource:
    """An opened data set.

    Attributes:
      images: in the order of the catalogue to be made.
      read: the encoded bytes of images[index]; may be called from several threads at once; raises
        UnreadableImageError.
      size: about how many bytes that will be.
      classes: names; the index is the label.
      fingerprint: changes when the content does.
      rejected: files that need no decoding to be seen as unusable.
      ignored: files that are not meant as images.
      notes: what else a person should know.
    """

    images: Sequence[SourceImage]
    read: Callable[[int], bytes]
    size: Callable[[int], int]
    classes: tuple[str, ...]
    fingerprint: str
    rejected: tuple[UnusedFile, ...] = ()
    ignored: tuple[UnusedFile, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Location:
    """fetch.location: a local path, an address, or neither.

    Attributes:
      text: as in params.yaml.
    """

    text: str | None = None
    path: Path | None = None
    url: str | None = None


_Item = TypeVar("_Item", SourceImage, UnusedFile)


class Dataset(Protocol):
    """A kind of data set that fetch can import."""

    @property
    def origin(self) -> str:
        """Citation or description, for people."""

    def open(
        self, location: Location, params: FetchParams, downloads: Path
    ) -> AbstractContextManager[ImageSource]:
        """Open the data set; `downloads` is the folder for what comes over the network.

        Raises PipelineError where the data are missing, damaged, or not the expected ones.
        """


def parse_location(text: str | None, resolve: Callable[[str], Path]) -> Location:
    """Raises PipelineError where a path does not exist; `resolve` makes paths absolute."""
    if text is None:
        return Location()
    if "\0" in text:
        raise PipelineError(
            "fetch.location has a null character in it.",
            expected="a path or an address",
            found=text,
            remedy="write it again: paths have no such character",
        )
    if text.lower().startswith(("http://", "https://")):
        return Location(text, url=text)
    if scheme := _SCHEME.match(text):
        raise _not_read(text, f"an address that begins with {scheme[0]}")
    path = resolve(text)
    if not path.exists():
        if _DRIVE.match(text):
            raise _not_read(text, "a path of Windows")
        raise PipelineError(
            "The location of the data does not exist.",
            expected="fetch.location: a path (relative ones start at the project's folder)",
            found=f"{text} (that is {path})",
            remedy="correct the path, for example with -S fetch.location=../data/my-images",
        )
    return Location(text, path=path)


def _not_read(text: str, what: str) -> PipelineError:
    return PipelineError(
        f"fetch.location is {what}, which is not read.",
        expected="a path of this machine, or an address that begins with https:// or http://",
        found=text,
        remedy="copy the images to this machine with a program for that kind of place, and name the copy",
    )


def rename_classes(source: ImageSource, names: Mapping[str, str]) -> ImageSource:
    """The same source under other class names; the classes keep their order.

    Raises PipelineError where a class to be renamed is unknown or a name would be given twice.
    """
    for name in names:
        if name not in source.classes:
            close = difflib.get_close_matches(name, source.classes, n=1)
            raise PipelineError(
                f"fetch.class_names renames '{name}', which is not a class of this data set.",
                expected=f"some of {first_few(source.classes, 20)}",
                remedy=f"did you mean '{close[0]}'?" if close else "remove that line from params.yaml",
            )
    classes = tuple(names.get(name, name) for name in source.classes)
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice:
        raise PipelineError(
            f"fetch.class_names would give several classes the name '{twice[0]}'.",
            expected="a different name for each class",
        )

    def renamed(items: Sequence[_Item]) -> tuple[_Item, ...]:
        return tuple(replace(item, class_name=names.get(item.class_name, item.class_name)) for item in items)

    return replace(
        source,
        images=renamed(source.images),
        classes=classes,
        rejected=renamed(source.rejected),
        ignored=renamed(source.ignored),
    )


def array_source(
    subsets: Mapping[str, tuple[UInt8[np.ndarray, "n h w *rgb"], Integer[np.ndarray, " n"]]],
    classes: tuple[str, ...],
    fingerprint: str,
) -> ImageSource:
    """A source that is made of arrays; each image is stored as PNG.

    Args:
      subsets: official subset (or "" where there are none) to images, gray or (with a last dimension
        of 3) in color, and their labels.
      classes: names; the index is the label.
      fingerprint: of the content.
    """
    images = [
        SourceImage(f"{subset}/{index:05d}" if subset else f"{index:05d}", classes[label], subset)
        for subset, (_, labels) in subsets.items()
        for index, label in enumerate(labels.tolist())
    ]
    rows = [row for pixels, _ in subsets.values() for row in pixels]
    return ImageSource(
        images, lambda index: encode_png(rows[index]), lambda index: rows[index].nbytes, classes, fingerprint
    )
