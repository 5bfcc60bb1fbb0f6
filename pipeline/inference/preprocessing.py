"""The one way in which an image file becomes the numbers that a network sees.

Made in the stage preprocess, saved with every trained model, and used by everything that predicts.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.foundation.array_types import UInt8
from pipeline.foundation.files import read_json, write_json
from pipeline.images.decoding import MAX_PIXELS, Color, Resize, decode_to_square

_CHANNELS: dict[Color, int] = {"rgb": 3, "grayscale": 1}


@dataclass(frozen=True)
class PreprocessingSpec:
    """Size, colors and classes of the images that a network takes.

    Attributes:
      image_size: height and width, pixels.
      resize: what happens to images that are not square. pad: fit the whole image in and fill up
        with black, equally on both sides; crop: cut the longer side off equally at both ends;
        stretch: change the proportions.
      color: rgb, or grayscale (luma of ITU-R BT.601).
      classes: names; the index is the label.
    """

    image_size: int
    resize: Resize
    color: Color
    classes: tuple[str, ...]

    @property
    def channels(self) -> int:
        return _CHANNELS[self.color]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return (self.image_size, self.image_size, self.channels)

    def apply(
        self, data: bytes, max_pixels: int = MAX_PIXELS
    ) -> UInt8[np.ndarray, "{self.image_size} {self.image_size} {self.channels}"]:
        """An encoded image as pixels of `shape` (see `decode_to_square`).

        Raises UnreadableImageError, before anything is decoded where it has more than `max_pixels`.
        """
        return decode_to_square(data, self.image_size, self.resize, self.color, max_pixels)

    def save(self, path: Path) -> None:
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> "PreprocessingSpec":
        return cls.from_json(read_json(path))

    def to_json(self) -> dict[str, Any]:
        return {
            "image_size": self.image_size,
            "resize": self.resize,
            "color": self.color,
            "classes": list(self.classes),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "PreprocessingSpec":
        return cls(
            image_size=values["image_size"],
            resize=values["resize"],
            color=values["color"],
            classes=tuple(values["classes"]),
        )
