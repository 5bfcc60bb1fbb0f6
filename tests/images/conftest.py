"""Encoded images for the tests of this floor."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image


def encode_image(pixels: Any, file_format: str = "PNG", **options: Any) -> bytes:
    """An image file of an array or of a Pillow image."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels, dtype=np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, format=file_format, **options)
    return buffer.getvalue()


@pytest.fixture
def encode() -> Callable[..., bytes]:
    return encode_image
