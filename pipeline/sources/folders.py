"""Somebody's own images, in folders named as their classes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.foundation.errors import PipelineError
from pipeline.images.catalogue import RejectedFile
from pipeline.sources.archives import open_files
from pipeline.sources.fingerprint import is_system_name, local_fingerprint
from pipeline.sources.sources import ImageSource, Location, SourceImage

_SUBSET_OF_FOLDER = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_IMAGE_EXTENSIONS = {"png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "dib", "tif", "tiff"}

Parts = tuple[str, ...]


@dataclass(frozen=True)
class FolderDataset:
    """`<class>/*` or `{train,validation,test}/<class>/*`, below any common parent folders."""

    origin: str

    @contextmanager
    def open(self, location: Location, downloads: Path) -> Iterator[ImageSource]:
        if location.path is None:
            raise PipelineError(
                "Images of your own are read from a local place.",
                expected="fetch.location: a folder, .zip or .tar[.gz]",
                found=str(location.text),
                remedy="download the archive first",
            )
        with open_files(location.path, downloads) as files:
            images, rejected = arrange(files.names)
            classes = tuple(sorted({image.class_name for image in images}))
            visible = [item for item in files.rejected if not _is_system_path(_parts(item.file))]
            yield ImageSource(
                images,
                lambda index: files.read(images[index].name),
                classes,
                local_fingerprint(location.path),
                (*visible, *rejected),
            )


def arrange(names: Sequence[str]) -> tuple[list[SourceImage], list[RejectedFile]]:
    """Find out which folders are classes.

    Files with the extension of an image decide; where there are none, all files do. An image
    outside the class folders is rejected; other files there (a README, a table of labels) are
    ignored.

    Args:
      names: relative paths with forward slashes.

    Raises PipelineError where folders of subsets and of classes stand side by side.
    """
    paths = {name: _parts(name) for name in names}
    paths = {name: parts for name, parts in paths.items() if not _is_system_path(parts)}
    deciding = {name for name in paths if name.rpartition(".")[2].lower() in _IMAGE_EXTENSIONS} or set(paths)
    parents = _common_parents([paths[name] for name in deciding])
    below = {name: parts[len(parents) :] for name, parts in paths.items() if parts[: len(parents)] == parents}
    has_subsets = _has_subsets([below[name] for name in deciding if name in below])
    depth = 3 if has_subsets else 2
    classes = {below[name][-2] for name in deciding if len(below.get(name, ())) == depth}

    images, rejected = [], []
    for name in paths:
        parts = below.get(name, ())
        if len(parts) == depth and parts[-2] in classes:
            subset = _SUBSET_OF_FOLDER[parts[0].lower()] if has_subsets else ""
            images.append(SourceImage(name, parts[-2], subset))
        elif name in deciding:
            reason = (
                "is deeper than the files of a class" if len(parts) > depth else "is not in a class folder"
            )
            rejected.append(RejectedFile(name, reason))
    return images, rejected


def _common_parents(paths: Sequence[Parts]) -> Parts:
    """The folders above the class (or subset) folders."""
    parents: Parts = ()
    while True:
        below = [path[len(parents) :] for path in paths if path[: len(parents)] == parents]
        tops = {path[0] for path in below if len(path) >= 2}
        if len(tops) != 1 or _has_subsets(below) or max(map(len, below)) < 3:
            return parents
        parents = (*parents, *tops)


def _has_subsets(paths: Sequence[Parts]) -> bool:
    """Whether the top folders are train, validation and test.

    A class may be called `train` (beside `bus` and `car`): it is one when images lie in it directly.
    """
    nested = {path[0] for path in paths if len(path) >= 3}
    tops = {path[0] for path in paths if len(path) >= 2}
    subsets = {top for top in nested if top.lower() in _SUBSET_OF_FOLDER}
    others = sorted(tops - subsets)
    if subsets and others and not all(top.lower() in _SUBSET_OF_FOLDER for top in others):
        raise PipelineError(
            "Folders of subsets and other folders stand side by side.",
            expected="<class>/<image>, or {train,validation,test}/<class>/<image> and nothing else",
            found=", ".join(sorted(tops)[:10]),
            remedy="move the other folders away",
        )
    return bool(subsets)


def _parts(name: str) -> Parts:
    return tuple(name.split("/"))


def _is_system_path(parts: Parts) -> bool:
    return any(is_system_name(part) for part in parts)
