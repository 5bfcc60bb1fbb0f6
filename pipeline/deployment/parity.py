"""Whether an exported file still is the model that was evaluated. No TensorFlow.

Formats that compute in float32 must give the probabilities of the original; the others may lose as many
images as params.yaml (section export) allows.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from pipeline.foundation.array_types import Float32, Int64, UInt8
from pipeline.params.export import ExportParams

TOLERANCE = 1e-4
"""Largest difference of a probability between float32 formats and the original."""
DISTINCT = 2 * TOLERANCE
"""Where the two highest probabilities are further apart than this, the class must be the same."""

ENCODED_IMAGES = 60
_SCALES = ((0.5, 0.5), (2.0, 2.0), (1.0, 1.6), (2.3, 0.8), (0.4, 1.1), (4.1, 3.3))
"""Width and height, relative to the network's, of the images that are encoded again."""
_ENCODINGS = ({"format": "PNG"}, {"format": "JPEG", "quality": 90})


@dataclass(frozen=True)
class Check:
    """One thing that was compared.

    Attributes:
      name: what it is.
      found: the figure.
      limit: the largest that it may be.
    """

    name: str
    found: float
    limit: float

    @property
    def passed(self) -> bool:
        return self.found <= self.limit


@dataclass(frozen=True)
class Answers:
    """What a format and the original say about the same images.

    Attributes:
      labels: the actual classes.
      original: probabilities of the float32 Keras model.
      exported: those of the format.
    """

    labels: Int64[np.ndarray, " n"]
    original: Float32[np.ndarray, "n k"]
    exported: Float32[np.ndarray, "n k"]

    @property
    def accuracy(self) -> float:
        return float((self.exported.argmax(axis=1) == self.labels).mean())

    @property
    def lost_images(self) -> int:
        """Images that the original gets right, less those that the format does; below 0 where it gains."""
        right = [(each.argmax(axis=1) == self.labels).sum() for each in (self.original, self.exported)]
        return int(right[0] - right[1])

    @property
    def largest_difference(self) -> float:
        """Of any probability; 1, the largest there can be, where the format answers with NaN or infinity."""
        if not np.isfinite(self.exported).all():
            return 1.0
        return float(np.abs(self.exported - self.original).max())

    @property
    def changed_classes(self) -> int:
        """Images that get another class than from the original, which was not nearly undecided about them."""
        second, first = np.sort(self.original, axis=1)[:, -2:].T
        changed = self.exported.argmax(axis=1) != self.original.argmax(axis=1)
        return int((changed & (first - second > DISTINCT)).sum())


def exact_checks(answers: Answers, images: str) -> tuple[Check, ...]:
    """The checks of a float32 format; `images` says which ones were predicted."""
    return (
        Check(f"largest difference, {images}", answers.largest_difference, TOLERANCE),
        Check(f"changed classes, {images}", answers.changed_classes, 0),
    )


def accuracy_checks(answers: Answers, images: str, params: ExportParams) -> tuple[Check, ...]:
    """The checks of a format that is allowed to differ."""
    allowed = max(round(params.max_accuracy_loss * len(answers.labels), 9), params.max_lost_images)
    unusable = (~np.isfinite(answers.exported)).any(axis=1).sum()
    return (
        Check(f"images lost, {images}", answers.lost_images, allowed),
        Check(f"answers that are not numbers, {images}", int(unusable), 0),
    )


def encoded_copies(images: UInt8[np.ndarray, "n h w c"]) -> Iterable[bytes]:
    """Each image as a PNG or JPEG file of another size and other proportions, in turn."""
    for number, pixels in enumerate(images):
        horizontal, vertical = _SCALES[number % len(_SCALES)]
        height, width = pixels.shape[:2]
        size = (max(1, round(width * horizontal)), max(1, round(height * vertical)))
        image = Image.fromarray(pixels.squeeze(axis=-1) if pixels.shape[-1] == 1 else pixels)
        file = io.BytesIO()
        # Every encoding meets every size: six sizes in turn, and the encoding changes after each round.
        encoding = _ENCODINGS[number // len(_SCALES) % len(_ENCODINGS)]
        image.resize(size, Image.Resampling.BICUBIC).save(file, **encoding)
        yield file.getvalue()


def spread(count: int) -> Int64[np.ndarray, " rows"]:
    """Rows of at most ENCODED_IMAGES of `count` images, evenly spaced: images often come class by class."""
    return np.unique(np.linspace(0, count - 1, min(count, ENCODED_IMAGES)).astype(np.int64))
