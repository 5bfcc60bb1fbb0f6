"""From an opened source to verified images on disk: images.tar, catalogue.csv, rejected.csv."""

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from pipeline.foundation.digests import digest_bytes
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.texts import first_few
from pipeline.images.catalogue import (
    Catalogue,
    CatalogueEntry,
    ImageTarWriter,
    RejectedFile,
    save_rejected,
)
from pipeline.images.decoding import UnreadableImageError, decode
from pipeline.images.parallel import ordered_map, with_progress
from pipeline.sources.sources import ImageSource


@dataclass(frozen=True)
class AcceptanceLimits:
    """What a data set must satisfy.

    Attributes:
      max_rejected: largest share of files that may be unreadable, 0 to 1.
      min_images_per_class: readable images.
    """

    max_rejected: float
    min_images_per_class: int


@dataclass(frozen=True, slots=True)
class _VerifiedImage:
    data: bytes
    extension: str
    pixels_sha256: str
    width: int
    height: int


def import_images(
    source: ImageSource, limits: AcceptanceLimits, folder: Path
) -> tuple[Catalogue, list[RejectedFile]]:
    """Decode every image of the source once, and store the bytes of those that are readable.

    Writes images.tar, catalogue.csv and rejected.csv into `folder`.

    Raises PipelineError where the source has fewer than two classes, a class with too few readable
    images, or too many unreadable files.
    """
    _require_classes(source)
    entries: list[CatalogueEntry] = []
    rejected = list(source.rejected)
    total = len(source.images)
    with (folder / "images.tar").open("wb") as file, warnings.catch_warnings():
        # Pillow warns of oddities (damaged EXIF data and the like) in images that it reads all the same.
        warnings.simplefilter("ignore")
        writer = ImageTarWriter(file)
        results = ordered_map(_verify(source.read), range(total))
        for index, result in enumerate(with_progress(results, total, "images verified")):
            image = source.images[index]
            if isinstance(result, str):
                rejected.append(RejectedFile(image.name, result))
                continue
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
    _require_acceptable(entries, rejected, source.classes, limits)
    catalogue = Catalogue(entries)
    catalogue.save(folder / "catalogue.csv")
    save_rejected(folder / "rejected.csv", rejected)
    return catalogue, rejected


def _verify(read: Callable[[int], bytes]) -> Callable[[int], _VerifiedImage | str]:
    """The verified image, or the reason why it is refused."""

    def verify(index: int) -> _VerifiedImage | str:
        try:
            data = read(index)
            image = decode(data)
        except UnreadableImageError as error:
            return str(error)
        width, height = image.pixels.size
        return _VerifiedImage(data, image.extension, digest_pixels(image.pixels), width, height)

    return verify


def _require_classes(source: ImageSource) -> None:
    if not source.images:
        raise PipelineError(
            "There are no images at fetch.location.",
            expected="<class>/<image> or {train,validation,test}/<class>/<image>, below any common parents",
            found=_reasons(source.rejected) if source.rejected else "no files with the extension of an image",
        )
    if len(source.classes) < 2:
        raise PipelineError(
            "There is only one class of images.",
            expected="a folder per class, at least two",
            found=f"only '{source.classes[0]}'",
        )


def _require_acceptable(
    entries: Sequence[CatalogueEntry],
    rejected: Sequence[RejectedFile],
    classes: Sequence[str],
    limits: AcceptanceLimits,
) -> None:
    files = len(entries) + len(rejected)
    if len(rejected) > limits.max_rejected * files:
        raise PipelineError(
            f"{len(rejected):,} of {files:,} files cannot be read as images.",
            expected=f"at most a share of {limits.max_rejected:g} (fetch.max_rejected)",
            found=_reasons(rejected),
            remedy="remove or repair those files, or raise fetch.max_rejected",
        )
    counts = Counter(entry.class_name for entry in entries)
    small = [f"{name}: {counts[name]}" for name in classes if counts[name] < limits.min_images_per_class]
    if small:
        raise PipelineError(
            f"{len(small)} of {len(classes)} classes have too few readable images.",
            expected=f"at least {limits.min_images_per_class} in each (fetch.min_images_per_class)",
            found=first_few(small, 10, "; "),
            remedy="add images, remove those classes, or lower fetch.min_images_per_class",
        )


def _reasons(rejected: Sequence[RejectedFile]) -> str:
    """The most frequent reasons, each with its number and one example."""
    examples = {item.reason: item.file for item in reversed(rejected)}
    frequent = Counter(item.reason for item in rejected).most_common(3)
    return "; ".join(f"{reason} ({count:,}, for example {examples[reason]})" for reason, count in frequent)


def digest_pixels(image: Image.Image) -> str:
    """SHA-256 of size and RGB pixels.

    A copy in another format, with other metadata, or as RGB instead of grayscale has the same digest.
    """
    width, height = image.size
    return digest_bytes(f"RGB {width} {height} ".encode() + image.convert("RGB").tobytes())
