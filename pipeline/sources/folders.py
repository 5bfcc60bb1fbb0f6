"""Somebody's own images: a folder or an archive."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.texts import first_few
from pipeline.params.fetch import FetchParams
from pipeline.sources.archives import open_files
from pipeline.sources.arrangement import Arrangement, arrange_by_folders, require_training_images
from pipeline.sources.collection import FileCollection
from pipeline.sources.download import archive_at
from pipeline.sources.fingerprint import local_fingerprint
from pipeline.sources.labels import arrange_by_pattern, arrange_by_table
from pipeline.sources.sources import ImageSource, Location


@dataclass(frozen=True)
class FolderDataset:
    """`<class>/*` or `{train,validation,test}/<class>/*`, below any common parent folders.

    Labels may stand in a table or in the names of files instead.
    """

    origin: str

    @contextmanager
    def open(self, location: Location, params: FetchParams, downloads: Path) -> Iterator[ImageSource]:
        path = location.path or archive_at(str(location.url), downloads, params.limits)
        with open_files(path, downloads, params.limits, params.name_encoding) as files:
            _require_entered(files)
            found = _arranged(_with_linked_folders(path, files), params)
            require_training_images(found)
            names = [image.name for image in found.images]
            yield ImageSource(
                found.images,
                lambda index: files.read(names[index]),
                lambda index: files.sizes[names[index]],
                tuple(sorted(found.classes)),
                local_fingerprint(path, params.limits),
                tuple(found.rejected),
                tuple(found.ignored),
                tuple(found.notes),
            )


def _require_entered(files: FileCollection) -> None:
    """Raises PipelineError where folders could not be entered: nobody knows how many images they have."""
    closed = set(files.closed_folders)
    if closed:
        reasons = [f"{each.reason} ({each.file})" for each in files.rejected if each.file in closed]
        raise PipelineError(
            "Not every folder at fetch.location can be entered.",
            expected="folders that may be read, and links to what is there",
            found=first_few(reasons),
            remedy="change that, or move them away",
        )


def _with_linked_folders(top: Path, files: FileCollection) -> FileCollection:
    """Links to folders that have another name here are as empty folders: a class of that name has no images.

    A link to a folder that it lies in is not meant as a class.
    """
    links = [
        each.file
        for each in files.ignored
        if each.file.endswith("/")
        and not (top / each.file).parent.resolve().is_relative_to((top / each.file).resolve())
    ]
    return replace(files, empty_folders=(*files.empty_folders, *links))


def _arranged(files: FileCollection, params: FetchParams) -> Arrangement:
    if params.labels:
        return arrange_by_table(files, params.labels, params.label_columns)
    if params.label_pattern:
        return arrange_by_pattern(files, params.label_pattern)
    return arrange_by_folders(files)
