"""What stands behind an image in its file is not kept."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.images.decoding import FORMATS, decode
from pipeline.images.tails import without_tail

TAIL = bytes(10_000)
PIXELS = np.random.default_rng(0).integers(0, 256, (17, 23, 3), np.uint8)


def encoded(file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, file_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF"])
def test_zeros_behind_an_image_are_cut_off(file_format: str) -> None:
    data = encoded(file_format)
    assert without_tail(data + TAIL, FORMATS[file_format][0], 17 * 23) == data


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "JPEG"])
def test_so_is_anything_else_where_the_format_tells_the_end(file_format: str) -> None:
    data = encoded(file_format)
    assert without_tail(data + b"another file", FORMATS[file_format][0], 17 * 23) == data


@pytest.mark.parametrize("file_format", ["BMP", "TIFF", "PPM"])
def test_of_others_no_more_zeros_stay_than_there_may_be_black_pixels(file_format: str) -> None:
    data = encoded(file_format)
    kept = without_tail(data + TAIL, FORMATS[file_format][0], 17 * 23)
    assert len(data) <= len(kept) <= len(data) + 8 * 17 * 23 < len(data + TAIL)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_an_image_without_a_tail_stays_as_it_is(file_format: str) -> None:
    data = encoded(file_format)
    assert without_tail(data, FORMATS[file_format][0], 17 * 23) == data


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "gif", "bmp", "tif"])
@pytest.mark.parametrize("length", range(0, 60, 3))
def test_whatever_it_is_given_it_ends(extension: str, length: int) -> None:
    data = bytes(np.random.default_rng(length).integers(0, 256, length, np.uint8))
    assert data.startswith(without_tail(data, extension, 100))


def test_an_animation_keeps_all_its_frames() -> None:
    second = Image.fromarray(255 - PIXELS)
    for file_format in ("GIF", "WEBP", "PNG"):
        data = encoded(file_format, save_all=True, append_images=[second])
        kept = without_tail(data + TAIL, FORMATS[file_format][0], 17 * 23)
        assert kept == data
        assert getattr(Image.open(io.BytesIO(kept)), "n_frames", 1) == 2
        assert decode(kept).pixels.size == (23, 17)
