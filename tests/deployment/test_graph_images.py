"""TensorFlow's pixels are Pillow's, bit for bit; and where they are not, that is said and shown."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipeline.deployment import graph_images
from pipeline.images.decoding import Color, Resize
from pipeline.inference.preprocessing import PreprocessingSpec

ORIENTATION = 0x0112
SHAPES = [
    (1, 1),
    (1, 40),
    (40, 1),
    (24, 24),
    (48, 24),
    (23, 25),
    (3, 2),
    (61, 64),
    (150, 37),
    (37, 150),
    (7, 90),
]
"""Height and width: of one pixel, the network's own, smaller, larger, odd, much taller or wider."""


def spec(size: int = 24, resize: Resize = "pad", color: Color = "rgb") -> PreprocessingSpec:
    return PreprocessingSpec(size, resize, color, ("a", "b"))


def encoded(image: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def noise(height: int, width: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Random pixels of any mode; the hardest case for a filter."""
    pixels = np.random.default_rng([seed, height, width]).integers(0, 256, (height, width, 4), np.uint8)
    return Image.fromarray(pixels, "RGBA").convert(mode)


def assert_same_pixels(data: bytes, rules: PreprocessingSpec) -> None:
    pixels = graph_images.decode_in_graph(tf.constant(data), rules)
    np.testing.assert_array_equal(pixels.numpy(), rules.apply(data))


@pytest.mark.parametrize("color", ["rgb", "grayscale"])
@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("size", [1, 24, 33])
def test_every_size_and_shape_gives_pillows_pixels(size: int, resize: Resize, color: Color) -> None:
    for height, width in SHAPES:
        assert_same_pixels(encoded(noise(height, width)), spec(size, resize, color))


@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
def test_random_shapes_give_pillows_pixels(resize: Resize) -> None:
    for height, width in np.random.default_rng(7).integers(1, 200, (40, 2)).tolist():
        assert_same_pixels(encoded(noise(height, width)), spec(32, resize))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_kind_of_png_gives_pillows_pixels(mode: str) -> None:
    for color in ("rgb", "grayscale"):
        assert_same_pixels(encoded(noise(40, 31, mode)), spec(color=color))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_gray_levels_are_spread_over_all(bits: int) -> None:
    assert_same_pixels(png(bits, color_type=0), spec())


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_with_transparent_entries_stand_on_white(bits: int) -> None:
    palette = chunk(b"PLTE", bytes(range(3 * 2**bits)) if bits < 8 else bytes(range(256)) * 3)
    transparency = chunk(b"tRNS", bytes([0, 128]))
    assert_same_pixels(png(bits, 3, palette), spec())
    assert_same_pixels(png(bits, 3, palette + transparency), spec())


def test_a_transparent_color_stands_on_white() -> None:
    image = noise(9, 9)
    assert_same_pixels(encoded(image, transparency=image.getpixel((2, 2))), spec())


def test_16_bit_gray_is_rounded_to_8() -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (30, 20)).astype(np.uint16)
    assert_same_pixels(encoded(Image.fromarray(levels)), spec())


def test_a_transparent_level_of_16_bit_gray_is_shown() -> None:
    levels = np.arange(600, dtype=np.uint16).reshape(30, 20) * 100
    assert_same_pixels(encoded(Image.fromarray(levels), transparency=5000), spec())


def test_16_bit_colors_are_cut_to_8() -> None:
    assert_same_pixels(png(16, color_type=2), spec())
    assert_same_pixels(png(16, color_type=6), spec())


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("options", [{}, {"progressive": True, "quality": 30}, {"subsampling": 0}])
def test_every_kind_of_jpeg_gives_pillows_pixels(mode: str, options: dict[str, Any]) -> None:
    smooth = noise(8, 11).resize((77, 50)).convert(mode)
    for color in ("rgb", "grayscale"):
        assert_same_pixels(encoded(smooth, "JPEG", **options), spec(color=color))


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_a_jpeg_stands_upright(orientation: int, byte_order: str) -> None:
    exif = Image.Exif()
    exif.endian = byte_order
    exif[0x010F] = "maker"
    exif[ORIENTATION] = orientation
    assert_same_pixels(encoded(noise(30, 50), "JPEG", exif=exif), spec())


def test_a_damaged_exif_segment_does_no_harm() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    whole = encoded(noise(30, 50), "JPEG", exif=exif)
    place = whole.index(b"Exif") + 10
    damaged = (
        whole[:place] + b"\xff\xff\xff\x7f" + whole[place + 4 :]
    )  # the directory lies far behind the end
    graph_images.decode_in_graph(tf.constant(damaged), spec())


@pytest.mark.parametrize("file_format", ["WEBP", "GIF", "BMP", "TIFF"])
def test_other_formats_are_refused(file_format: str) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        graph_images.decode_in_graph(tf.constant(encoded(noise(9, 9), file_format)), spec())


@pytest.mark.parametrize("data", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        graph_images.decode_in_graph(tf.constant(data), spec())


def test_half_a_file_is_refused() -> None:
    for data in (encoded(noise(60, 60)), encoded(noise(60, 60), "JPEG")):
        with pytest.raises(tf.errors.InvalidArgumentError):
            graph_images.decode_in_graph(tf.constant(data[: len(data) // 2]), spec())


def test_documented_a_rotation_in_a_png_is_not_undone() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = encoded(noise(30, 50), exif=exif)
    pixels = graph_images.decode_in_graph(tf.constant(data), spec()).numpy()
    np.testing.assert_array_equal(pixels, spec().apply(encoded(noise(30, 50))))
    assert not np.array_equal(pixels, spec().apply(data))


def test_documented_a_palette_of_few_bits_loses_one_degree_of_transparency() -> None:
    palette, nearly_transparent = chunk(b"PLTE", bytes(range(48))), chunk(b"tRNS", bytes([15] * 16))
    data = png(4, 3, palette + nearly_transparent)
    assert spec().apply(data).min() > 235  # on white
    assert graph_images.decode_in_graph(tf.constant(data), spec()).numpy().max() < 48  # the bare palette


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(bits: int, color_type: int, before_pixels: bytes = b"", side: int = 16) -> bytes:
    """A PNG of random bytes, as Pillow cannot write every kind."""
    channels = {0: 1, 2: 3, 3: 1, 6: 4}[color_type]
    row_bytes = side * channels * bits // 8
    random = np.random.default_rng(bits)
    rows = b"".join(b"\0" + random.bytes(row_bytes) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, bits, color_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + before_pixels
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
