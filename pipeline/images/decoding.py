"""Encoded image files to pixels, and back to PNG.

Imports nothing of the project: a copy of this file travels inside every logged model, so that everyone who
loads one decodes and resizes as the pipeline does.

Whatever a file holds (palette, CMYK, alpha, 16 bits, a camera's rotation), what comes out is an
upright 8-bit image in one of two modes, grayscale or RGB. Color profiles are not applied.
"""

import base64
import io
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

Resize = Literal["pad", "crop", "stretch"]
Color = Literal["rgb", "grayscale"]

FORMATS = {
    "PNG": ("png", "apng"),
    "JPEG": ("jpg", "jpeg", "jpe", "jfif", "jif"),
    "MPO": ("jpg", "mpo"),  # what some cameras write: several JPEGs in one file
    "WEBP": ("webp",),
    "GIF": ("gif",),
    "BMP": ("bmp", "dib"),
    "TIFF": ("tif", "tiff"),
    "PPM": ("ppm", "pgm", "pbm", "pnm", "pfm"),
    "AVIF": ("avif", "avifs"),
    "HEIF": ("heic", "heif", "hif"),
}
"""Pillow's name of each accepted format, and the extensions of its files; they are stored under the first.

AVIF and HEIF are read where Pillow has a decoder for them: AVIF comes with most of its builds, HEIF with the
package pillow-heif.
"""

EXTENSIONS = frozenset(extension for extensions in FORMATS.values() for extension in extensions)
"""By which files of images are found in a folder; what a file really is is decided by its content."""

MAX_PIXELS = 100_000_000
"""More pixels than any camera's image: a file that claims them is meant to fill the memory."""

MAX_DECODING_BYTES = 650_000_000
"""What the file and all copies of its pixels may take while it is decoded and converted."""

_MAX_SIDE = 30_000
"""Pixels; the largest sensors and scans have fewer, and no decoder's row buffers get out of hand."""
_MAX_SCANS = 200
"""Of a progressive JPEG; cameras and editors write about ten. Each scan of 40 bytes walks over all pixels."""
_MAX_SCANNED_PIXELS = 2_000_000_000
"""Of all scans together: some ten seconds of decoding."""
_MAX_READS_OF_HEADER = 300_000
"""Of Pillow while it looks at a file's parts and keeps hundreds of bytes of each; a photograph has few."""
_MAX_READS = 4_000_000
"""Of an image that Pillow decodes in Python, level by level: unusual kinds of BMP and netpbm."""

# Tags of TIFF; the orientation is one of EXIF, too.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION, _SAMPLES_PER_PIXEL = 258, 262, 274, 277
_ROWS_PER_STRIP, _MAX_SAMPLE_VALUE, _TILE_WIDTH, _TILE_LENGTH = 278, 281, 322, 323
_WHITE_IS_ZERO = 0
_TIFF_BYTES = (1, 2, 7)
"""Types of values that stay as they are: profiles of color and the like may be long."""
_MAX_TIFF_VALUES = 100_000
"""More than there are strips or tiles in the largest image."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By the orientation: what makes an image upright."""
_PNG_BITS = 24  # where a PNG says how many a level has

_JPEG_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")  # in compressed data 0 follows 255, or a restart
_JPEG_SCAN, _JPEG_END = b"\xda", b"\xd9"

_BYTES_OF_MODE = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
"""What Pillow keeps for a pixel; four for modes that are not named."""
_BYTES_OF_DECODER = {"WEBP": 12, "AVIF": 10, "HEIF": 14, "PPM": 4}
"""What decoders keep for a pixel beside the image, measured by their peaks."""
_BYTES_OF_COEFFICIENT = 2
"""Of a progressive JPEG, which is kept whole until its last scan."""

_BAND_PIXELS = 1 << 20
"""Pixels that are converted at a time: what a conversion needs beside its result stays small."""
_HARDLY_USED = 1 / 8
"""Share of the 16-bit range: images whose levels stay below it were meant as 12 bits or fewer."""

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_URL_SAFE = str.maketrans("-_", "+/")
_WHITE = (255, 255, 255, 255)
_MODES: dict[Color, str] = {"rgb": "RGB", "grayscale": "L"}


class UnreadableImageError(Exception):
    """A file that cannot be used as an image; the text is a reason that people can read."""


class UnknownFormatError(UnreadableImageError):
    """A file that is not an image of an accepted format."""


class _BoundedFile(io.BytesIO):
    """A file that refuses to be read in too many pieces."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reads_left = _MAX_READS_OF_HEADER

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads_left -= 1
        if self.reads_left < 0:
            raise UnreadableImageError("it has so many parts that reading it takes too long")
        return super().read(size)


@dataclass(frozen=True)
class DecodedImage:
    """What a file holds.

    Attributes:
      pixels: mode L or RGB, upright, first frame or page, alpha composited on white.
      extension: of the file's format, without a dot.
      hardly_used_range: whether it has 16 bits and is nearly black, as its levels are those of fewer bits.
    """

    pixels: Image.Image
    extension: str
    hardly_used_range: bool


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Raises UnreadableImageError, before anything is decoded where that would take too long or too much."""
    with _opened(data, max_pixels) as image:
        try:
            extension = FORMATS[image.format or ""][0]
            # A TIFF is turned upright by Pillow itself while it loads.
            image.load()
            upright: Image.Image = image
            if (turn := _turn(image)) is not None:
                _require_memory(
                    image, 2 * image.width * image.height * _bytes_of_mode(image.mode) + len(data)
                )
                upright = image.transpose(turn)
            levels = _levels(upright, image, data)
            return DecodedImage(
                _to_8_bit(upright, levels), extension, levels.highest < _HARDLY_USED * levels.white
            )
        except (UnreadableImageError, MemoryError):
            raise
        except Exception as error:  # Pillow's decoders raise errors of any kind on damaged files
            raise UnreadableImageError(_one_line(error)) from error


def check_header(data: bytes, max_pixels: int) -> int:
    """Bytes that decoding will take; raises UnreadableImageError where `decode` would refuse it undecoded."""
    with _opened(data, max_pixels) as image:
        return _decoding_bytes(image) + len(data)


@contextmanager
def _opened(data: bytes, max_pixels: int) -> Iterator[ImageFile]:
    if not data:
        raise UnreadableImageError("the file is empty")
    _require_few_values(data)
    file = _BoundedFile(data)
    with _identified(file, data, max_pixels) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise UnreadableImageError(f"{width:,} x {height:,} pixels are more than {max_pixels:,}")
        if max(width, height) > _MAX_SIDE:
            raise UnreadableImageError(
                f"a side of {max(width, height):,} pixels is longer than {_MAX_SIDE:,}"
            )
        scans = jpeg_parts(data)[0] if image.format in ("JPEG", "MPO") else 0
        if scans > _MAX_SCANS or scans * width * height > _MAX_SCANNED_PIXELS:
            raise UnreadableImageError(f"{scans:,} scans of {width:,} x {height:,} pixels take too long")
        slow = any(tile.codec_name in ("ppm", "ppm_plain") for tile in image.tile)
        if slow and width * height * len(image.getbands()) > _MAX_READS:
            raise UnreadableImageError(f"{width:,} x {height:,} pixels of this kind of netpbm take too long")
        _require_memory(image, _decoding_bytes(image) + len(data))
        file.reads_left = _MAX_READS
        yield image


def _require_memory(image: Image.Image, needed: int) -> None:
    width, height = image.size
    if needed > MAX_DECODING_BYTES:
        raise UnreadableImageError(
            f"{width:,} x {height:,} pixels of this kind need {needed / 1e9:.1f} GB to be decoded"
        )


def _decoding_bytes(image: ImageFile) -> int:
    """At the peak: while the decoder runs, or while its image is converted."""
    pixels = image.width * image.height
    decoder = pixels * _BYTES_OF_DECODER.get(image.format or "", 0)
    if image.info.get("progressive"):
        decoder = pixels * _BYTES_OF_COEFFICIENT * len(image.getbands())
    elif isinstance(image, TiffImageFile):
        decoder = _bytes_of_tiff_decoder(image)
    converted = 0 if image.mode in ("L", "RGB") else pixels * _bytes_of_mode("RGB")
    return pixels * _bytes_of_mode(image.mode) + max(decoder, converted)


def _bytes_of_tiff_decoder(image: TiffImageFile) -> int:
    """The tile or strip that is expanded at a time; or the whole once more, where Pillow turns it upright."""
    bits = max(_tiff_numbers(image, _BITS_PER_SAMPLE, 8))
    (samples,) = _tiff_numbers(image, _SAMPLES_PER_PIXEL, 1)
    (width,) = _tiff_numbers(image, _TILE_WIDTH, image.width)
    (strip,) = _tiff_numbers(image, _ROWS_PER_STRIP, image.height)
    (rows,) = _tiff_numbers(image, _TILE_LENGTH, min(strip, image.height))
    whole = 0 if _turn(image) is None else image.width * image.height * _bytes_of_mode(image.mode)
    return max(width * rows * samples * bits // 8, whole)


def _require_few_values(data: bytes) -> None:
    """Refuse a TIFF that lists millions of strips: Pillow makes an object of each when it opens the file."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or (b"\x2a" not in data[2:4] and b"\x2b" not in data[2:4]):
        return
    big = b"\x2b" in data[2:4]
    entry = struct.Struct(order + ("HHQQ" if big else "HHII"))
    with suppress(struct.error):  # Pillow says what is wrong with it
        (offset,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, offset)
        start = offset + (8 if big else 2)
        entries = data[start : start + min(count, 1 << 16) * entry.size]
        for _, kind, values, _ in entry.iter_unpack(entries[: len(entries) // entry.size * entry.size]):
            if kind not in _TIFF_BYTES and values > _MAX_TIFF_VALUES:
                raise UnreadableImageError(f"a tag of its header has {values:,} values")


def _tiff_numbers(image: TiffImageFile, tag: int, default: int) -> tuple[int, ...]:
    """A tag's positive numbers: one for each channel of bits, else a single one."""
    value = image.tag_v2.get(tag, default)
    numbers = value if isinstance(value, tuple) else (value,)
    fits = numbers and all(isinstance(number, int) and number > 0 for number in numbers)
    if not fits or (len(numbers) > 1 and tag != _BITS_PER_SAMPLE):
        raise UnreadableImageError(f"its header is damaged: tag {tag} is not a positive number")
    return numbers


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What makes it upright; metadata that cannot be read turn nothing."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow's parsers raise errors of any kind on damaged metadata
        return None


def _bytes_of_mode(mode: str) -> int:
    return _BYTES_OF_MODE.get(mode, 4)


def _identified(file: io.BytesIO, data: bytes, max_pixels: int) -> ImageFile:
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    formats = [name for name in FORMATS if name not in ("MPO", "HEIF")]  # Pillow finds MPO through JPEG
    if brand in _HEIF_BRANDS and _heif_is_readable():
        formats.append("HEIF")
    try:
        return Image.open(file, formats=formats)
    except UnidentifiedImageError:
        raise UnknownFormatError(_what_it_is(data, brand)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableImageError(f"more than {max_pixels:,} pixels") from None
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's parsers raise errors of any kind on damaged files
        raise UnreadableImageError(f"its header is damaged: {_one_line(error)}") from error


def _heif_is_readable() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _what_it_is(data: bytes, brand: bytes) -> str:
    if brand in _HEIF_BRANDS:
        return "HEIC, which is read where the package pillow-heif is installed"
    if brand in _AVIF_BRANDS:
        return "AVIF, which this build of Pillow cannot read"
    if data.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, not the image: 'git lfs pull' gets it"
    if data.startswith(b"PF"):
        return "a PFM in color, of which only gray ones are read"
    if data.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "a web page"
    return f"none of {', '.join(FORMATS)}"


@dataclass(frozen=True)
class _Levels:
    """Of gray in a decoded image.

    Attributes:
      white: what stands for white.
      highest: the highest one there is; white in images that have 8 bits.
      inverted: whether 0 is white and `white` is black.
      transparent: the level that is not there.
    """

    white: float
    highest: float
    inverted: bool = False
    transparent: int | None = None


def _levels(upright: Image.Image, file: ImageFile, data: bytes) -> _Levels:
    """Raises UnreadableImageError where nobody knows what the levels mean."""
    mode, transparent = upright.mode, file.info.get("transparency")
    tags = file.tag_v2 if isinstance(file, TiffImageFile) else {}
    bits = max(_tiff_numbers(file, _BITS_PER_SAMPLE, 8)) if isinstance(file, TiffImageFile) else 8
    if file.format == "PNG":
        bits = data[_PNG_BITS]
    if mode.startswith("I;16") or (mode == "I" and file.format == "PPM"):
        # TIFF has a tag to say that 16 bits hold fewer.
        tagged = tags.get(_MAX_SAMPLE_VALUE, 0)
        tagged = tagged[0] if isinstance(tagged, tuple) else tagged
        white = tagged if 255 < tagged < 65535 else 2**bits - 1 if 8 < bits < 16 else 65535
        highest = max(float(np.asarray(band).max()) for band in _bands(upright))
        level = transparent if isinstance(transparent, int) else None
        return _Levels(white, highest, tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO, level)
    if mode == "F" and file.format == "PPM":
        extrema = [(float(levels.min()), float(levels.max())) for levels in map(np.asarray, _bands(upright))]
        lowest, highest = min(each for each, _ in extrema), max(each for _, each in extrema)
        if not 0 <= lowest <= highest <= 1:
            raise UnreadableImageError(f"levels from {lowest:g} to {highest:g}; those of a PFM are 0 to 1")
        return _Levels(1, 1)
    if mode in ("I", "F"):
        raise UnreadableImageError(f"pixels of mode {mode} (32 bits) have no known range")
    if bits != 16 or mode not in ("RGB", "RGBA", "LA"):
        return _Levels(255, 255)
    # Pillow has kept the higher 8 bits of each level, and 16 of those of the color that is not there.
    if isinstance(transparent, tuple):
        upright.info["transparency"] = tuple(level >> 8 for level in transparent)
    colors = slice(1) if mode == "LA" else slice(3)
    return _Levels(255, max(float(np.asarray(band)[..., colors].max()) for band in _bands(upright)))


def _to_8_bit(image: Image.Image, levels: _Levels) -> Image.Image:
    if levels.white != 255:
        return _converted(image, "L", lambda band: _scaled(band, levels))
    if image.has_transparency_data:
        return _converted(image, "RGB", _on_white)
    mode = "L" if image.mode in ("1", "L") else "RGB"
    return _converted(image, mode, lambda band: band.convert(mode))


def _converted(image: Image.Image, mode: str, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """The image in `mode`, one band of rows after the other."""
    if image.mode == mode and not image.has_transparency_data:
        return image
    result = Image.new(mode, image.size)
    top = 0
    for band in _bands(image):
        result.paste(convert(band), (0, top))
        top += band.height
    return result


def _bands(image: Image.Image) -> Iterator[Image.Image]:
    """The image from top to bottom, some rows at a time."""
    width, height = image.size
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        yield image if rows >= height else image.crop((0, top, width, min(top + rows, height)))


def _on_white(band: Image.Image) -> Image.Image:
    opaque = Image.new("RGBA", band.size, _WHITE)
    opaque.alpha_composite(band.convert("RGBA"))
    return opaque.convert("RGB")


def _scaled(band: Image.Image, levels: _Levels) -> Image.Image:
    """Levels 0..white to 0..255; Pillow's own conversion would clip everything above 255."""
    found = np.asarray(band).astype(np.float64)
    scaled = np.minimum(np.floor(found * 255 / levels.white + 0.5), 255).astype(np.uint8)
    if levels.inverted:
        scaled = 255 - scaled
    if levels.transparent is not None:
        scaled[found == levels.transparent] = 255
    return Image.fromarray(scaled)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + "..."


def decode_to_square(
    data: bytes, size: int, resize: Resize, color: Color, max_pixels: int = MAX_PIXELS
) -> npt.NDArray[np.uint8]:
    """An encoded image as pixels (size, size, 3), or (size, size, 1) for grayscale.

    Sizes are changed by Pillow's bilinear filter, which averages over all source pixels where it
    makes an image smaller (antialiasing). Where an image is not square, pad fits the whole of it in
    and fills up with black, equally on both sides; crop cuts the longer side off equally at both
    ends; stretch changes the proportions. Grayscale is the luma of ITU-R BT.601.

    Raises UnreadableImageError.
    """
    image = decode(data, max_pixels).pixels
    if image.mode != _MODES[color]:  # Pillow would copy the same mode, too
        image = image.convert(_MODES[color])
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


def jpeg_parts(data: bytes) -> tuple[int, int]:
    """How many scans a JPEG has, and where it ends: cameras put films and more behind that."""
    scans, position = 0, 2
    while (marker := _JPEG_MARKER.search(data, position)) is not None:
        if marker[1] == _JPEG_END:
            return scans, marker.end()
        scans += marker[1] == _JPEG_SCAN
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    return scans, len(data)


def from_base64(text: str) -> bytes:
    """The bytes that base64 stands for: with or without line breaks and padding, URL-safe, or as a data URI.

    Raises ValueError.
    """
    if text[:5].lower() == "data:":
        kind, _, text = text.partition(",")
        if not kind.lower().endswith(";base64"):
            raise ValueError("a data URI that is not base64")
    compact = "".join(text.split()).rstrip("=").translate(_URL_SAFE)
    return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A PNG file of pixels, (height, width) grayscale or (height, width, 3) RGB."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
