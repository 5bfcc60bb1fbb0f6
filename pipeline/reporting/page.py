"""The report as one HTML page that needs nothing else: styles inline, pictures as data URIs, no script."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from pipeline.reporting.document import Document
from pipeline.reporting.wording import percent, whole

_TEMPLATES = Path(__file__).parent / "templates"
_SCREEN_DOTS_PER_INCH = 96
_LARGEST_THUMBNAIL = 96
"""Pixels; larger images are made smaller, so that the page stays light."""

_COARSE = 64
"""Images below this side, pixels, are enlarged with sharp pixels: blurring would show what is not there."""


def render_page(document: Document, pictures: Mapping[str, bytes]) -> str:
    """The page as text; the same document and pictures give the same text.

    Args:
      pictures: PNG bytes of every chart by its name.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "thumbnail": thumbnail,
        "percent": percent,
        "whole": whole,
        "screen_pixels": lambda inches: round(inches * _SCREEN_DOTS_PER_INCH),
        "is_coarse": lambda image: max(image.shape[:2]) < _COARSE,
    }
    environment.globals["picture"] = lambda name: _data_uri(pictures[name])
    return environment.get_template("page.html.j2").render(document=document)


def thumbnail(image: np.ndarray) -> str:
    """An image, uint8 (height, width, 1 or 3), as the data URI of a PNG of at most 96 pixels a side."""
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    picture.thumbnail((_LARGEST_THUMBNAIL, _LARGEST_THUMBNAIL), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return _data_uri(buffer.getvalue())


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
