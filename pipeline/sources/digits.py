"""The handwritten digits that come with scikit-learn: a data set without a download."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.foundation.digests import digest_bytes
from pipeline.foundation.errors import PipelineError
from pipeline.params.fetch import FetchParams
from pipeline.sources.sources import ImageSource, Location, array_source

_LEVELS = 16
"""Ink is counted in each 4x4 block of a scanned bitmap, so that values go from 0 to 16."""


@dataclass(frozen=True)
class DigitsDataset:
    """1,797 grayscale images of 8x8 pixels; values 0..16 become 0..255."""

    origin: str

    @contextmanager
    def open(self, location: Location, params: FetchParams, downloads: Path) -> Iterator[ImageSource]:
        if location.text is not None:
            raise PipelineError(
                "The digits come with scikit-learn and are read from nowhere else.",
                expected="fetch.location: null",
                found=location.text,
                remedy="set fetch.dataset=folder for images of your own",
            )
        # scikit-learn takes a second to import, and the other data sets do not need it.
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = np.round(digits.images * (255 / _LEVELS)).astype(np.uint8)
        labels = digits.target.astype(np.int64)
        classes = tuple(str(digit) for digit in range(10))
        fingerprint = digest_bytes(pixels.tobytes() + labels.tobytes())
        yield array_source({"": (pixels, labels)}, classes, fingerprint)
