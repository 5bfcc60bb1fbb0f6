"""From an opened source to verified images on disk: images.tar, catalogue.csv, rejected.csv."""

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import atomic_path
from pipeline.foundation.texts import first_few, shown
from pipeline.images.catalogue import (
    Catalogue,
    CatalogueEntry,
    ImageTarWriter,
    UnusedFile,
    save_unused,
)
from pipeline.images.decoding import MAX_DECODING_BYTES, UnreadableImageError, check_header, decode
from pipeline.images.parallel import MemoryBudget, ordered_map, with_progress
from pipeline.images.tails import without_tail
from pipeline.params.fetch import FetchParams
from pipeline.processes.native_output import native_stderr_silenced
from pipeline.sources.sources import ImageSource

_OTHER_LABELS = (
    "make a folder per class; or set fetch.labels where labels are in a table, fetch.label_pattern where "
    "they are in the names of files"
)

_DIGESTED_ROWS = 256
"""At a time: a large image is not copied as a whole."""


@dataclass(frozen=True, slots=True)
class _VerifiedImage:
    data: bytes
    extension: str
    pixels_sha256: str
    width: int
    height: int
    hardly_used_range: bool


@dataclass(frozen=True)
class Imported:
    """What became of every file of a source.

    Attributes:
      hardly_used_range: images of 16 bits that are nearly black, as their levels are those of fewer.
    """

    catalogue: Catalogue
    rejected: list[UnusedFile]
    ignored: list[UnusedFile]
    hardly_used_range: int

    def lines(self) -> Iterator[str]:
        """What a person should know of it."""
        used, rejected, ignored = len(self.catalogue), len(self.rejected), len(self.ignored)
        classes = len({entry.class_name for entry in self.catalogue.entries})
        yield (
            f"{used + rejected + ignored:,} files: {used:,} images of {classes} classes, "
            f"{rejected:,} rejected, {ignored:,} ignored"
        )
        if rejected:
            yield f"  rejected: {reasons(self.rejected)}"
        if ignored:
            yield f"  ignored: {reasons(self.ignored)}"
        if self.hardly_used_range:
            yield (
                f"  {self.hardly_used_range:,} images have 16 bits and are nearly black, as if they had 12 "
                "or fewer: convert them before, if that is so"
            )


def import_images(source: ImageSource, params: FetchParams, folder: Path) -> Imported:
    """Decode every image of the source once, and store the bytes of those that are readable.

    Writes images.tar, catalogue.csv, rejected.csv and ignored.csv into `folder`.

    Raises PipelineError where the source has fewer than two classes, a class with too few readable
    images, or too many unreadable files.
    """
    _require_classes(source)
    entries: list[CatalogueEntry] = []
    rejected = list(source.rejected)
    hardly_used = 0
    total = len(source.images)
    with (
        atomic_path(folder / "images.tar") as path,
        path.open("wb") as file,
        warnings.catch_warnings(),
        native_stderr_silenced(),  # libtiff, too, tells what it thinks of a file
    ):
        # Pillow warns of oddities (damaged EXIF data and the like) in images that it reads all the same.
        warnings.simplefilter("ignore")
        writer = ImageTarWriter(file)
        results = ordered_map(_verify(source.read, params.limits.pixels), range(total), source.size)
        for index, result in enumerate(with_progress(results, total, "images verified")):
            image = source.images[index]
            if isinstance(result, str):
                rejected.append(UnusedFile(image.name, result, image.class_name))
                continue
            hardly_used += result.hardly_used_range
            image_id, offset = writer.append(result.data, result.extension)
            entries.append(
                CatalogueEntry(
                    image_id,
                    image.name,
                    image.class_name,
                    image.official_subset,
                    result.pixels_sha256,
                    result.width,
                    result.height,
                    offset,
                    len(result.data),
                )
            )
        writer.finish()
        rejected.sort(key=lambda item: (item.file, item.reason))
        _require_acceptable(entries, rejected, source, params)
    catalogue = Catalogue(entries)
    catalogue.save(folder / "catalogue.csv")
    save_unused(folder / "rejected.csv", rejected)
    ignored = sorted(source.ignored, key=lambda item: (item.file, item.reason))
    save_unused(folder / "ignored.csv", ignored)
    return Imported(catalogue, rejected, ignored, hardly_used)


def _verify(read: Callable[[int], bytes], max_pixels: int) -> Callable[[int], _VerifiedImage | str]:
    """The verified image, or the reason why it is refused."""
    memory = MemoryBudget(MAX_DECODING_BYTES)  # of all threads together

    def verify(index: int) -> _VerifiedImage | str:
        try:
            data = read(index)
            with memory.reserved(check_header(data, max_pixels)):
                image = decode(data, max_pixels)
                digest = digest_pixels(image.pixels)
                size = image.pixels.size
        except UnreadableImageError as error:
            return str(error)
        stored = without_tail(data, image.extension, size[0] * size[1])
        return _VerifiedImage(stored, image.extension, digest, *size, image.hardly_used_range)

    return verify


def _require_classes(source: ImageSource) -> None:
    if not source.images:
        raise PipelineError(
            "There are no images at fetch.location.",
            expected="<class>/<image> or {train,validation,test}/<class>/<image>, below any common parents",
            found=reasons((*source.rejected, *source.ignored)) or "no file at all",
            remedy=_OTHER_LABELS,
        )
    if len(source.classes) < 2:
        raise PipelineError(
            "There is only one class of images.",
            expected="a folder per class, at least two",
            found=f"only '{shown(source.classes[0])}'",
            remedy=_OTHER_LABELS,
        )


def _require_acceptable(
    entries: Sequence[CatalogueEntry],
    rejected: Sequence[UnusedFile],
    source: ImageSource,
    params: FetchParams,
) -> None:
    files = len(entries) + len(rejected)
    if len(rejected) > params.max_rejected * files:
        raise PipelineError(
            f"{len(rejected):,} of {files:,} files cannot be used.",
            expected=f"at most a share of {params.max_rejected:g} (fetch.max_rejected)",
            found=reasons(rejected),
            remedy="remove or repair those files, or raise fetch.max_rejected",
        )
    counts = Counter(entry.class_name for entry in entries)
    small = [name for name in source.classes if counts[name] < params.min_images_per_class]
    if small:
        too_small = set(small)
        unused = [item for item in (*rejected, *source.ignored) if item.class_name in too_small]
        found = first_few([f"{name}: {counts[name]}" for name in small], 10, "; ")
        raise PipelineError(
            f"{len(small)} of {len(source.classes)} classes have too few readable images.",
            expected=f"at least {params.min_images_per_class} in each (fetch.min_images_per_class)",
            found=found + (f"; files that were not used there: {reasons(unused)}" if unused else ""),
            remedy="add images, remove those classes, or lower fetch.min_images_per_class",
        )


def reasons(rejected: Sequence[UnusedFile]) -> str:
    """The most frequent reasons, each with its number and one example."""
    examples = {item.reason: item.file for item in reversed(rejected)}
    frequent = Counter(item.reason for item in rejected).most_common(3)
    return "; ".join(
        f"{reason} ({count:,}, for example {shown(examples[reason])})" for reason, count in frequent
    )


def digest_pixels(image: Image.Image) -> str:
    """SHA-256 of size and RGB pixels.

    A copy in another format, with other metadata, or as RGB instead of grayscale has the same digest.
    """
    width, height = image.size
    digest = hashlib.sha256(f"RGB {width} {height} ".encode())
    for top in range(0, height, _DIGESTED_ROWS):
        band = image.crop((0, top, width, min(top + _DIGESTED_ROWS, height)))
        digest.update(band.convert("RGB").tobytes())
    return digest.hexdigest()
