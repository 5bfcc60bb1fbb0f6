"""Encoded image files to pixels, and back to PNG.

Imports nothing of the project: a copy of this file travels inside every logged model, so that everyone who
loads one decodes and resizes as the pipeline does.

Whatever a file holds (palette, CMYK, alpha, 16 bits, a camera's rotation), what comes out is an
upright 8-bit image in one of two modes, grayscale or RGB. Color profiles are not applied.
"""

import io
from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

Resize = Literal["pad", "crop", "stretch"]
Color = Literal["rgb", "grayscale"]

EXTENSIONS = {
    "PNG": "png",
    "JPEG": "jpg",
    "MPO": "jpg",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
}
"""Pillow's name of each accepted format, and the extension under which such a file is stored."""

MAX_PIXELS = 100_000_000
"""More pixels than any camera's image: a file that claims them is meant to fill the memory."""

_FORMATS = [name for name in EXTENSIONS if name != "MPO"]  # Pillow finds MPO through JPEG
_MODES: dict[Color, str] = {"rgb": "RGB", "grayscale": "L"}
_WHITE = (255, 255, 255, 255)


class UnreadableImageError(Exception):
    """A file that is not an image of an accepted format; the text is a reason that people can read."""


@dataclass(frozen=True)
class DecodedImage:
    """Attributes:
    pixels: mode L or RGB, upright, first frame, alpha composited on white.
    extension: of the file's format, without a dot.
    """

    pixels: Image.Image
    extension: str


def decode(data: bytes) -> DecodedImage:
    """Raises UnreadableImageError."""
    if not data:
        raise UnreadableImageError("the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise UnreadableImageError(f"{width}x{height} pixels are more than {MAX_PIXELS:,}")
            extension = EXTENSIONS[image.format or ""]
            # A TIFF is turned upright by Pillow itself while it loads.
            image.load()
            return DecodedImage(_to_8_bit(ImageOps.exif_transpose(image)), extension)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError:
        raise UnreadableImageError(f"not one of {', '.join(_FORMATS)}") from None
    except Exception as error:  # Pillow's decoders raise errors of any kind on damaged files
        raise UnreadableImageError(_one_line(error)) from error


def _to_8_bit(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _from_16_bit(image)
    if image.mode in ("I", "F"):
        raise UnreadableImageError(f"pixels of mode {image.mode} (32 bits) have no known range")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, _WHITE)
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    if image.mode in ("1", "L"):
        return image.convert("L")
    return image.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Grayscale 0..65535 to 0..255; Pillow's own conversion would clip everything above 255."""
    levels = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((levels + 128) // 257).astype(np.uint8))


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + "..."


def decode_to_square(data: bytes, size: int, resize: Resize, color: Color) -> npt.NDArray[np.uint8]:
    """An encoded image as pixels (size, size, 3), or (size, size, 1) for grayscale.

    Sizes are changed by Pillow's bilinear filter, which averages over all source pixels where it
    makes an image smaller (antialiasing). Where an image is not square, pad fits the whole of it in
    and fills up with black, equally on both sides; crop cuts the longer side off equally at both
    ends; stretch changes the proportions. Grayscale is the luma of ITU-R BT.601.

    Raises UnreadableImageError.
    """
    image = decode(data).pixels.convert(_MODES[color])
    return np.asarray(_resized(image, size, resize)).reshape(size, size, -1)


def _resized(image: Image.Image, size: int, resize: Resize) -> Image.Image:
    width, height = image.size
    if width == height:
        resize = "stretch"  # which comes to the same
    match resize:
        case "stretch":
            return image.resize((size, size), Image.Resampling.BILINEAR)
        case "crop":
            side = min(width, height)
            left, top = (width - side) / 2, (height - side) / 2
            box = (left, top, left + side, top + side)
            return image.resize((size, size), Image.Resampling.BILINEAR, box=box)
        case "pad":
            longest = max(width, height)
            inner = (max(1, round(width * size / longest)), max(1, round(height * size / longest)))
            resized = image.resize(inner, Image.Resampling.BILINEAR)
            canvas = Image.new(image.mode, (size, size))  # black
            canvas.paste(resized, ((size - inner[0]) // 2, (size - inner[1]) // 2))
            return canvas
    assert_never(resize)


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A PNG file of pixels, (height, width) grayscale or (height, width, 3) RGB."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
