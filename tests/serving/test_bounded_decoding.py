"""What is refused before anything is decoded, and that nothing else is changed."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.serving.refusals import Refused
from pipeline.serving.workers.bounded_decoding import decode_bounded
from tests.serving.live_server import encoded

SPEC = PreprocessingSpec(16, "pad", "rgb", ("a", "b"))
MANY = 10**9


def refusal(data: bytes, max_pixels: int = MANY) -> Refused:
    with pytest.raises(Refused) as refused:
        decode_bounded(data, SPEC, max_pixels)
    return refused.value


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "MPO"])
def test_every_format_of_the_pipeline_is_decoded_as_the_pipeline_does(format_name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=format_name)
    decoded = decode_bounded(buffer.getvalue(), SPEC, MANY)
    np.testing.assert_array_equal(decoded, SPEC.apply(buffer.getvalue()))


def test_pixels_are_counted_before_they_are_decoded() -> None:
    assert decode_bounded(encoded(7, 40, 25), SPEC, 1000).shape == SPEC.shape
    assert refusal(encoded(7, 40, 26), 1000).status == 422
    # Pillow has a limit of its own, at which it warns, and one at which it raises.
    assert "more than 1,000,000,000 pixels" in refusal(_png(40_000, 40_000)).reason


def test_a_side_that_is_too_long() -> None:
    assert "a side of 30,001 pixels is longer than 30,000" in refusal(_png(30_001, 1)).reason


def test_a_progressive_jpeg_of_thousands_of_scans() -> None:
    """Each further scan has 40 bytes and makes a decoder walk over all pixels again: 150 kB take hours."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, format="JPEG", progressive=True)
    data = buffer.getvalue()
    assert decode_bounded(data, SPEC, MANY).shape == SPEC.shape
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    assert "scans of 64 x 64 pixels take too long" in refusal(data[:-2] + last_scan * 5000 + data[-2:]).reason


def _png(width: int, height: int) -> bytes:
    """The header of an image of this size, and a wrong body."""
    data = bytearray(encoded(0, 8, 8))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)
