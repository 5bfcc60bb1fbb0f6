"""Encoded images to pixels, within limits that are checked before anything is decoded."""

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.foundation.array_types import UInt8
from pipeline.images.decoding import EXTENSIONS, UnreadableImageError
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.serving.refusals import Refused

_FORMATS = [name for name in EXTENSIONS if name != "MPO"]  # Pillow finds MPO through JPEG
_MAX_SIDE = 30_000
"""Pixels; the largest sensors and scans have fewer, and no decoder's row buffers get out of hand."""
_MAX_SCANS = 200
"""Of a progressive JPEG; cameras and editors write about ten. Each scan of 40 bytes walks over all pixels."""
_START_OF_SCAN = b"\xff\xda"


def decode_bounded(
    data: bytes, preprocessing: PreprocessingSpec, max_pixels: int
) -> UInt8[np.ndarray, "h w c"]:
    """An image file as the network sees it, of `preprocessing.shape`.

    Raises:
      Refused: 415 where the file is not in an accepted format, 422 where it is damaged or too large.
    """
    _check_header(data, max_pixels)
    try:
        return preprocessing.apply(data)
    except UnreadableImageError as error:
        raise Refused(422, f"the image cannot be decoded: {error}") from None


def _check_header(data: bytes, max_pixels: int) -> None:
    if not data:
        raise Refused(422, "the file is empty")
    too_large = f"the image has more than the {max_pixels:,} pixels that this server takes"
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            (width, height), found = image.size, image.format
    except UnidentifiedImageError:
        raise Refused(415, f"not an image of an accepted format ({', '.join(_FORMATS)})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise Refused(422, too_large) from None
    except MemoryError:
        raise
    except Exception:  # Pillow's parsers raise errors of any kind on damaged files
        raise Refused(422, "the image cannot be decoded: its header is damaged") from None
    if width * height > max_pixels:
        raise Refused(422, f"{too_large}: {width:,} x {height:,}")
    if max(width, height) > _MAX_SIDE:
        raise Refused(422, f"a side of the image has more than {_MAX_SIDE:,} pixels")
    if found in ("JPEG", "MPO") and data.count(_START_OF_SCAN) > _MAX_SCANS:
        raise Refused(422, f"the image has more than {_MAX_SCANS} scans")
