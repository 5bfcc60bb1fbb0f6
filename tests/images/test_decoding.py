"""Whatever a file holds, an upright 8-bit image comes out, or a reason why not."""

import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from pipeline.images import decoding
from pipeline.images.decoding import UnreadableImageError, decode, encode_png
from pipeline.sources.importing import digest_pixels

Encode = Callable[..., bytes]

ORIENTATION = 0x0112
# What a viewer must do to the stored pixels, from the EXIF specification (tag 274).
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].T,
    8: lambda a: np.rot90(a, 1),
}
STORED = np.array([[10, 20, 30], [40, 50, 60]], dtype=np.uint8)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_cameras_rotation_is_undone(encode: Encode, orientation: int) -> None:
    image = decode(encode(STORED, exif=exif(orientation))).pixels
    np.testing.assert_array_equal(np.asarray(image), UPRIGHT[orientation](STORED))


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_tiff_is_not_turned_twice(encode: Encode, orientation: int) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[ORIENTATION] = orientation
    image = decode(encode(STORED, "TIFF", tiffinfo=tags)).pixels
    np.testing.assert_array_equal(np.asarray(image), UPRIGHT[orientation](STORED))


def test_a_rotated_jpeg_stands_upright(encode: Encode) -> None:
    left_black = np.zeros((16, 32, 3), dtype=np.uint8)
    left_black[:, 16:] = 255
    image = decode(encode(left_black, "JPEG", exif=exif(6))).pixels
    assert image.size == (16, 32)  # turned clockwise: what was left is now on top
    pixels = np.asarray(image)
    assert pixels[:14].max() < 20
    assert pixels[18:].min() > 235


def test_a_cmyk_jpeg_has_its_colors(encode: Encode) -> None:
    no_cyan_full_magenta_and_yellow = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    image = decode(encode(no_cyan_full_magenta_and_yellow, "JPEG", quality=100)).pixels
    assert image.mode == "RGB"
    np.testing.assert_allclose(np.asarray(image)[8, 8], [255, 0, 0], atol=3)


def test_a_grayscale_jpeg_stays_grayscale(encode: Encode) -> None:
    decoded = decode(encode(np.full((8, 8), 77), "JPEG"))
    assert (decoded.pixels.mode, decoded.extension) == ("L", "jpg")
    np.testing.assert_allclose(np.asarray(decoded.pixels), 77, atol=1)


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("RGBA", (255, 0, 0, 255), (255, 0, 0)),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),  # 20 % black on white
        ("LA", (0, 51), (204, 204, 204)),
    ],
)
def test_alpha_is_composited_on_white(
    encode: Encode, mode: str, color: tuple[int, ...], expected: tuple[int, int, int]
) -> None:
    image = decode(encode(Image.new(mode, (2, 2), color))).pixels
    assert image.mode == "RGB"
    assert image.getpixel((0, 0)) == expected


def test_transparent_entries_of_a_palette_are_white(encode: Encode) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 200, 0])
    image.putpixel((1, 0), 1)
    decoded = decode(encode(image, transparency=0)).pixels
    assert [decoded.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (0, 200, 0)]


def test_the_transparent_color_of_an_rgb_png_is_white(encode: Encode) -> None:
    pixels = np.array([[[1, 2, 3], [4, 5, 6]]])
    decoded = decode(encode(pixels, transparency=(1, 2, 3))).pixels
    np.testing.assert_array_equal(np.asarray(decoded), [[[255, 255, 255], [4, 5, 6]]])


def test_the_first_frame_of_an_animation_counts(encode: Encode) -> None:
    red, blue = (Image.new("RGB", (4, 4), color) for color in ("red", "blue"))
    decoded = decode(encode(red, "GIF", save_all=True, append_images=[blue]))
    assert decoded.extension == "gif"
    assert decoded.pixels.getpixel((1, 1)) == (255, 0, 0)


@pytest.mark.parametrize(("file_format", "extension"), [("PNG", "png"), ("BMP", "bmp"), ("TIFF", "tif")])
def test_lossless_formats_keep_every_pixel(encode: Encode, file_format: str, extension: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    decoded = decode(encode(pixels, file_format))
    assert decoded.extension == extension
    np.testing.assert_array_equal(np.asarray(decoded.pixels), pixels)


def test_a_lossless_webp_keeps_every_pixel(encode: Encode) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    decoded = decode(encode(pixels, "WEBP", lossless=True))
    assert decoded.extension == "webp"
    np.testing.assert_array_equal(np.asarray(decoded.pixels), pixels)


def test_the_main_picture_of_a_telephones_mpo_is_read_as_jpeg(encode: Encode) -> None:
    gray, white = Image.new("RGB", (16, 16), (90, 90, 90)), Image.new("RGB", (16, 16), "white")
    decoded = decode(encode(gray, "MPO", save_all=True, append_images=[white]))
    assert decoded.extension == "jpg"
    np.testing.assert_allclose(np.asarray(decoded.pixels), 90, atol=2)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_16_bit_grayscale_is_scaled_not_clipped(encode: Encode, file_format: str) -> None:
    levels = np.array([[0, 257, 128 * 257, 65535, 1000]], dtype=np.uint16)
    image = decode(encode(Image.fromarray(levels), file_format)).pixels
    assert image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image), [[0, 1, 128, 255, 4]])  # 1000 / 257 = 3.9


def test_16_bit_big_endian_tiff() -> None:
    # A TIFF file by hand: header, two pixels of 0x0101 and 0xFFFF, then the directory.
    entries = [
        (256, 3, 2),
        (257, 3, 1),
        (258, 3, 16),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (278, 3, 1),
        (279, 4, 4),
    ]
    directory = struct.pack(">H", len(entries))
    for tag, kind, value in entries:
        directory += struct.pack(">HHI", tag, kind, 1)
        directory += struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value)
    data = b"MM\x00*" + struct.pack(">I", 12) + b"\x01\x01\xff\xff" + directory + bytes(4)
    np.testing.assert_array_equal(np.asarray(decode(data).pixels), [[1, 255]])


def test_black_and_white_becomes_0_and_255(encode: Encode) -> None:
    image = Image.fromarray(np.array([[True, False]]))
    assert image.mode == "1"
    np.testing.assert_array_equal(np.asarray(decode(encode(image)).pixels), [[255, 0]])


def unreadable_files(encode: Encode) -> dict[str, bytes]:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    png, jpeg = encode(noise), encode(noise, "JPEG")
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0xFF
    return {
        "empty": b"",
        "text": b"this is not an image at all",
        "half a PNG": png[: len(png) // 2],
        "half a JPEG": jpeg[: len(jpeg) // 2],
        "a PNG with a flipped byte": bytes(flipped),
        "another format": encode(noise, "PPM"),
        "floating-point TIFF": encode(Image.fromarray(np.zeros((2, 2), dtype=np.float32)), "TIFF"),
    }


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty", "empty"),
        ("text", "not one of PNG, JPEG"),
        ("half a PNG", "truncated"),
        ("half a JPEG", "truncated"),
        ("a PNG with a flipped byte", "."),
        ("another format", "not one of PNG, JPEG"),
        ("floating-point TIFF", "no known range"),
    ],
)
def test_an_unreadable_file_has_a_reason(encode: Encode, name: str, reason: str) -> None:
    with pytest.raises(UnreadableImageError, match=reason):
        decode(unreadable_files(encode)[name])


def test_a_decompression_bomb_is_refused_by_its_header(encode: Encode) -> None:
    small = encode(np.zeros((2, 2)))
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    bomb = small[:12] + header + struct.pack(">I", zlib.crc32(header)) + small[33:]
    with pytest.raises(UnreadableImageError, match="3600000000 pixels"):
        decode(bomb)


def test_more_pixels_than_the_limit_are_refused(encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", 12)
    assert decode(encode(np.zeros((4, 3)))).pixels.size == (3, 4)
    with pytest.raises(UnreadableImageError, match="1x13 pixels are more than 12"):
        decode(encode(np.zeros((13, 1))))


def test_the_digest_sees_pixels_and_not_their_encoding(encode: Encode) -> None:
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    copies = [
        encode(gray),
        encode(gray, "BMP"),
        encode(np.stack([gray] * 3, axis=-1), "WEBP", lossless=True),
        encode(np.rot90(gray), exif=exif(6)),
    ]
    assert len({digest_pixels(decode(copy).pixels) for copy in copies}) == 1


def test_the_digest_differs_for_another_pixel_or_shape() -> None:
    pixels = np.zeros((2, 6), dtype=np.uint8)
    changed = pixels.copy()
    changed[1, 5] = 1
    images = [pixels, changed, pixels.reshape(3, 4), pixels.reshape(6, 2)]
    assert len({digest_pixels(Image.fromarray(image)) for image in images}) == 4


def test_png_round_trip() -> None:
    for shape in ((3, 4), (3, 4, 3)):
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        np.testing.assert_array_equal(np.asarray(decode(encode_png(pixels)).pixels), pixels)
