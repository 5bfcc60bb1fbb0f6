"""The report as one HTML page that needs nothing else: styles and script inline, pictures as data URIs.

A content security policy in the page forbids every request and every script but its own.
"""

import base64
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from pipeline.reporting.document import Document
from pipeline.reporting.wording import percent, whole

_TEMPLATES = Path(__file__).parent / "templates"
_SCREEN_DOTS_PER_INCH = 96
_LARGEST_THUMBNAIL = 96
"""Pixels; larger images are made smaller, so that the page stays light."""

_COARSE = 64
"""Images below this side, pixels, are enlarged with sharp pixels: blurring would show what is not there."""

_EFFORT, _QUALITY = 20, 80
"""What WebP's `quality` means: effort where no pixel may differ, faithfulness elsewhere."""

_METHOD = 1
"""WebP's search for shorter code: slower ones gain next to nothing on figures."""


def render_page(document: Document, pictures: Mapping[str, bytes], other_forms: Mapping[str, str]) -> str:
    """The page as text; the same document and pictures give the same text.

    Args:
      pictures: PNG bytes of every chart by its name.
      other_forms: files beside the page that hold the same, by what they are for.
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
        "is_coarse": is_coarse,
    }
    environment.globals["picture"] = lambda name: _chart(pictures[name])
    script = (_TEMPLATES / "page.js").read_text(encoding="utf-8")
    return environment.get_template("page.html.j2").render(
        document=document,
        other_forms=other_forms,
        script=Markup(script),
        script_digest=_script_digest(script),
    )


def thumbnail(image: np.ndarray) -> str:
    """An image, uint8 (height, width, 1 or 3), as a data URI of at most 96 pixels a side.

    Coarse images are kept pixel by pixel as the network saw them; larger ones lose what nobody sees.
    """
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    picture.thumbnail((_LARGEST_THUMBNAIL, _LARGEST_THUMBNAIL), Image.Resampling.BILINEAR)
    return _data_uri(picture, lossless=is_coarse(image))


def is_coarse(image: np.ndarray) -> bool:
    """Whether an image, (height, width, channels), is so small that its pixels are shown as squares."""
    return max(image.shape[:2]) < _COARSE


def _chart(png: bytes) -> str:
    """A figure as a data URI: WebP, which every browser has read since 2020, is half the size of PNG."""
    with Image.open(io.BytesIO(png)) as picture:
        return _data_uri(picture.convert("RGB"), lossless=True)


def _data_uri(picture: Image.Image, lossless: bool) -> str:
    buffer = io.BytesIO()
    quality = _EFFORT if lossless else _QUALITY
    picture.save(buffer, format="WEBP", lossless=lossless, quality=quality, method=_METHOD)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _script_digest(script: str) -> str:
    """The script's hash as a content security policy names it."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
