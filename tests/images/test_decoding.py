"""Whatever a file holds, an upright 8-bit image comes out, or a reason why not."""

import base64
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from pipeline.images import decoding
from pipeline.images.decoding import UnreadableImageError, decode, encode_png, from_base64, jpeg_parts
from pipeline.sources.importing import digest_pixels
from tests.hostile.mutations import tiled_tiff

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

ANY_BYTES = bytes(range(256)) + b"\xfb\xff\xfe"


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
        "another format": encode(noise, "TGA"),
        "floating-point TIFF": encode(Image.fromarray(np.zeros((2, 2), dtype=np.float32)), "TIFF"),
    }


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("empty", "empty"),
        ("text", "none of PNG, JPEG"),
        ("half a PNG", "truncated"),
        ("half a JPEG", "truncated"),
        ("a PNG with a flipped byte", "."),
        ("another format", "none of PNG, JPEG"),
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
    with pytest.raises(UnreadableImageError, match="more than 100,000,000 pixels"):
        decode(bomb)


def test_more_pixels_than_the_limit_are_refused(encode: Encode) -> None:
    assert decode(encode(np.zeros((4, 3))), 12).pixels.size == (3, 4)
    with pytest.raises(UnreadableImageError, match="1 x 13 pixels are more than 12"):
        decode(encode(np.zeros((13, 1))), 12)


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


def portable(magic: str, maximum: str, pixels: bytes) -> bytes:
    """A file of netpbm's, of 2 x 1 pixels."""
    return f"{magic}\n2 1\n{maximum}\n".encode() + pixels


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (portable("P5", "255", bytes([7, 200])), [7, 200]),
        (portable("P2", "15", b"0 15"), [0, 255]),
        (portable("P5", "65535", struct.pack(">2H", 257, 65535)), [1, 255]),
        (portable("P5", "4095", struct.pack(">2H", 0, 4095)), [0, 255]),
        (b"P4\n2 1\n\x80", [0, 255]),  # 1 is black
        (portable("P6", "255", bytes([1, 2, 3, 4, 5, 6])), [[1, 2, 3], [4, 5, 6]]),
        (portable("Pf", "-1.0", struct.pack("<2f", 0.0, 1.0)), [0, 255]),
    ],
)
def test_files_of_netpbm(data: bytes, expected: list[object]) -> None:
    decoded = decode(data)
    assert decoded.extension == "ppm"
    np.testing.assert_array_equal(np.asarray(decoded.pixels), [expected])


def test_a_pfm_of_another_range_is_refused() -> None:
    with pytest.raises(UnreadableImageError, match="levels from 0 to 255"):
        decode(portable("Pf", "-1.0", struct.pack("<2f", 0.0, 255.0)))


def test_transparent_levels_of_16_bits_are_white(encode: Encode) -> None:
    levels = np.array([[0, 65535, 257]], dtype=np.uint16)
    decoded = decode(encode(Image.fromarray(levels), transparency=0)).pixels
    np.testing.assert_array_equal(np.asarray(decoded), [[255, 255, 1]])


def test_twelve_bits_in_sixteen(encode: Encode) -> None:
    levels = np.array([[0, 2048, 4095]], dtype=np.uint16)
    assert decode(encode(Image.fromarray(levels))).hardly_used_range
    assert not decode(encode(Image.fromarray(levels * 16))).hardly_used_range
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[281] = 4095  # MaxSampleValue
    decoded = decode(encode(Image.fromarray(levels), "TIFF", tiffinfo=tags))
    assert not decoded.hardly_used_range
    np.testing.assert_array_equal(np.asarray(decoded.pixels), [[0, 128, 255]])


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_bands_change_nothing(encode: Encode, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8)
    if mode == "I;16":
        image = Image.fromarray(pixels.view(np.uint16)[..., 0])
    else:
        image = Image.fromarray(pixels, "RGBA").convert("RGB" if mode == "CMYK" else "RGBA").convert(mode)
    data = encode(image, "TIFF" if mode == "CMYK" else "PNG")
    whole = np.asarray(decode(data).pixels)
    monkeypatch.setattr(decoding, "_BAND_PIXELS", 14)
    np.testing.assert_array_equal(np.asarray(decode(data).pixels), whole)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
    ],
)
def test_what_is_often_taken_for_an_image_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(decoding.UnknownFormatError, match=reason):
        decode(data)


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(ANY_BYTES).decode(),
        base64.urlsafe_b64encode(ANY_BYTES).decode(),
        base64.b64encode(ANY_BYTES).decode().rstrip("="),
        base64.encodebytes(ANY_BYTES).decode(),
        "\r\n".join(base64.b64encode(ANY_BYTES).decode()) + "\n",
        "data:image/png;base64," + base64.b64encode(ANY_BYTES).decode(),
        "DATA:;charset=utf-8;BASE64," + base64.urlsafe_b64encode(ANY_BYTES).decode(),
    ],
    ids=[
        "plain",
        "URL-safe",
        "no padding",
        "line breaks",
        "many line breaks",
        "data URI",
        "another data URI",
    ],
)
def test_base64_in_all_its_forms(text: str) -> None:
    assert from_base64(text) == ANY_BYTES


@pytest.mark.parametrize("text", ["A", "é", "A?==", "data:image/png,AAAA", "data:", "AAAA=AAAA", "\ud800"])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_base64(text)


def png_of_16_bits(levels: np.ndarray, *chunks: bytes) -> bytes:
    """A PNG in color, which Pillow does not write."""
    height, width, _ = levels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    image = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + image


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def tiff(pixels: bytes, **tags: int) -> bytes:
    """A TIFF of 8 x 8 gray pixels, not compressed."""
    place = 8 + 2 + 12 * 9 + 4
    numbers = {256: 8, 257: 8, 258: 16, 259: 1, 262: 1, 273: place, 277: 1, 278: 8, 279: len(pixels)}
    numbers |= {int(name[1:]): value for name, value in tags.items()}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(numbers.items()))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(numbers)) + entries + bytes(4) + pixels


def test_few_bits_in_16_are_seen_in_color_too() -> None:
    twelve = np.full((4, 4, 3), 4095)
    assert decode(png_of_16_bits(twelve)).hardly_used_range
    assert not decode(png_of_16_bits(16 * twelve)).hardly_used_range


def test_a_transparent_color_of_16_bits_is_white() -> None:
    levels = np.full((4, 4, 3), 1000)
    levels[0] = 50_000
    data = png_of_16_bits(levels, chunk(b"tRNS", struct.pack(">HHH", 1000, 1000, 1000)))
    assert np.asarray(decode(data).pixels)[:, 0, 0].tolist() == [195, 255, 255, 255]


def test_a_tiff_of_12_bits_is_scaled_by_them() -> None:
    white = decode(tiff(b"\xff" * 96, t258=12))
    assert (np.asarray(white.pixels) == 255).all()
    assert not white.hardly_used_range


def test_a_tiff_in_which_0_is_white_is_inverted() -> None:
    levels = np.full(64, 65535, "<u2")
    levels[0] = 0
    pixels = np.asarray(decode(tiff(levels.tobytes(), t262=0)).pixels).ravel()
    assert pixels[:3].tolist() == [255, 0, 0]


@pytest.mark.parametrize("tags", [{"t322": b"wide"}, {"t323": b"high"}, {"t277": 0}, {"t258": 0}])
def test_tags_of_a_tiff_that_are_no_numbers_are_a_reason(tags: dict[str, int | bytes]) -> None:
    with pytest.raises(UnreadableImageError):
        decode(tiled_tiff(**tags))
    assert decode(tiled_tiff()).pixels.size == (16, 16)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_of_millions_of_strips_is_refused_unopened(order: str, big: bool) -> None:
    mark = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    header = struct.pack(order + "HHQ", 8, 0, 16) if big else struct.pack(order + "I", 8)
    count, entry = ("Q", "HHQQ") if big else ("H", "HHII")
    directory = struct.pack(order + count, 1) + struct.pack(order + entry, 273, 4, 2_000_000, 100)
    with pytest.raises(UnreadableImageError, match="a tag of its header has 2,000,000 values"):
        decode(mark + header + directory + bytes(100))


def test_what_cameras_put_behind_a_jpeg_does_not_count(encode: Encode) -> None:
    photograph = encode(np.zeros((64, 64, 3), np.uint8), "JPEG")
    film = b"\xff\xda" * 1000
    assert decode(photograph + film).pixels.size == (64, 64)
    assert jpeg_parts(photograph + film) == (1, len(photograph))


def test_scans_behind_a_false_end_of_a_jpeg_are_counted(encode: Encode) -> None:
    data = encode(np.zeros((64, 64, 3), np.uint8), "JPEG", progressive=True)
    scans, end = jpeg_parts(data)
    assert (scans > 3, end) == (True, len(data))
    last = data[data.rindex(b"\xff\xda") : -2]
    comment = b"\xff\xfe\x00\x04\xff\xd9"
    bomb = data[:-2] + (comment + last) * 300 + data[-2:]
    assert jpeg_parts(bomb) == (scans + 300, len(bomb))
    with pytest.raises(UnreadableImageError, match="scans of 64 x 64 pixels take too long"):
        decode(bomb)


def test_damaged_metadata_do_not_decide_over_pixels(encode: Encode) -> None:
    data = encode(STORED)
    damaged = data[:33] + chunk(b"eXIf", b"garbage") + data[33:]
    np.testing.assert_array_equal(np.asarray(decode(damaged).pixels), STORED)
    # An orientation, and a resolution that is a text.
    entries = struct.pack("<HHIHH", 274, 3, 1, 6, 0) + struct.pack("<HHI4s", 282, 2, 4, b"high")
    odd = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + entries + bytes(4)
    assert decode(encode(np.zeros((16, 32, 3), np.uint8), "JPEG", exif=odd)).pixels.size == (16, 32)
