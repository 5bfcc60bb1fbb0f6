"""Single images as PNG files that look the same on paper and on slides."""

import io

import numpy as np
from PIL import Image

from pipeline.foundation.array_types import UInt8

_SHARP_SIDE = 160
"""Pixels: smaller images are enlarged by whole factors, so that no viewer blurs what was never there."""

_LARGEST_SIDE = 480
"""Pixels: enough for 300 dots per inch at the largest size in which a single image is shown."""


def image_png(image: UInt8[np.ndarray, "h w c"]) -> bytes:
    """An image of 1 or 3 channels as PNG bytes at a size fit for printing."""
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    factor = -(-_SHARP_SIDE // max(picture.size))
    if factor > 1:
        size = (factor * picture.width, factor * picture.height)
        picture = picture.resize(size, resample=Image.Resampling.NEAREST)
    picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
