"""The one way in which an image file becomes the numbers that a network sees.

Made in the stage preprocess, saved with every trained model, and used by everything that predicts.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from pipeline.foundation.files import read_json, write_json
from pipeline.images.decoding import decode

Resize = Literal["pad", "crop", "stretch"]
Color = Literal["rgb", "grayscale"]


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
        return 3 if self.color == "rgb" else 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return (self.image_size, self.image_size, self.channels)

    def apply(self, data: bytes) -> np.ndarray:
        """An encoded image as uint8 pixels of `shape`.

        Sizes are changed by Pillow's bilinear filter, which averages over all source pixels where it
        makes an image smaller (antialiasing).

        Raises UnreadableImageError.
        """
        image = decode(data).pixels.convert("RGB" if self.color == "rgb" else "L")
        return np.asarray(_resized(image, self.image_size, self.resize)).reshape(self.shape)

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


def _resized(image: Image.Image, size: int, resize: Resize) -> Image.Image:
    width, height = image.size
    if resize == "stretch" or width == height:
        return image.resize((size, size), Image.Resampling.BILINEAR)
    if resize == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        box = (left, top, left + side, top + side)
        return image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    longest = max(width, height)
    inner = (max(1, round(width * size / longest)), max(1, round(height * size / longest)))
    canvas = Image.new(image.mode, (size, size))  # black
    canvas.paste(
        image.resize(inner, Image.Resampling.BILINEAR), ((size - inner[0]) // 2, (size - inner[1]) // 2)
    )
    return canvas
