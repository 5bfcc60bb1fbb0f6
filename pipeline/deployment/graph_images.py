"""Encoded images to the pixels that a network sees, as TensorFlow operations.

A SavedModel has no Pillow, yet must see what `images.decoding.decode_to_square` gives. These operations
give the same pixels, bit for bit, of JPEG (gray, color and CMYK; upright by the Exif tag) and PNG files
(gray, color, palette, alpha, 1 to 16 bits).

They differ from Pillow in this, as tests/deployment/test_graph_images.py shows:
- other formats (WebP, GIF, BMP, TIFF) are refused;
- a rotation that only XMP or the Exif chunk of a PNG states is not undone;
- a palette of less than 8 bits with the transparency 1, 3 or 15 (of 255) loses that;
- what is too large is refused by TensorFlow's limits.
"""

from collections.abc import Callable
from typing import assert_never

import tensorflow as tf

from pipeline.inference.preprocessing import PreprocessingSpec

_ONE = 1 << 22  # a weight of 1 in Pillow's whole numbers: 32 bits less 8 of a pixel less 2 for the sums
_DEPTH_OFFSET = 24  # in the header of a PNG: bits per channel, then the type of its colors, a byte each
_16_BITS, _GRAY = b"\x10", b"\x00"
_EXIF_MARK = b"Exif\x00\x00"
_EXIF_WITHIN = 1 << 17  # bytes; the Exif segment is the first or second of a JPEG, each at most 64 KiB
_ORIENTATION_TAG = 0x0112


def decode_in_graph(data: tf.Tensor, spec: PreprocessingSpec) -> tf.Tensor:
    """One encoded image, a scalar string, as uint8 pixels of `spec.shape`.

    Raises tf.errors.InvalidArgumentError (when it runs) where the file is not a JPEG or PNG.
    """
    pixels = tf.cond(tf.io.is_jpeg(data), lambda: _decode_jpeg(data), lambda: _decode_png(data))
    if spec.color == "grayscale":
        pixels = _luma(pixels)
    square = _resized(pixels, spec)
    return tf.ensure_shape(tf.cast(square, tf.uint8), spec.shape)


def _decode_jpeg(data: tf.Tensor) -> tf.Tensor:
    """int32 (H, W, 3), upright; the exact inverse transform and smooth upsampling, which Pillow uses too."""
    pixels = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE", fancy_upscaling=True)
    return tf.cast(_upright(pixels, _exif_orientation(data)), tf.int32)


def _upright(pixels: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Undo a camera's rotation: orientations 1 to 8 of the Exif standard (tag 274), any other is 1."""

    def where(values: list[int], change: Callable[[tf.Tensor], tf.Tensor], pixels: tf.Tensor) -> tf.Tensor:
        return tf.cond(tf.reduce_any(orientation == values), lambda: change(pixels), lambda: pixels)

    pixels = where([5, 6, 7, 8], lambda image: tf.transpose(image, (1, 0, 2)), pixels)
    pixels = where([2, 3, 6, 7], lambda image: image[:, ::-1], pixels)
    return where([3, 4, 7, 8], lambda image: image[::-1], pixels)


def _exif_orientation(data: tf.Tensor) -> tf.Tensor:
    """The orientation that the first directory of a JPEG's Exif segment states; 1 where there is none."""
    head = tf.cast(tf.io.decode_raw(tf.strings.substr(data, 0, _EXIF_WITHIN), tf.uint8), tf.int32)
    head = tf.concat([head, tf.zeros(len(_EXIF_MARK), tf.int32)], axis=0)
    last = tf.size(head) - 1
    windows = tf.stack([head[place : last - 4 + place] for place in range(len(_EXIF_MARK))], axis=1)
    found = tf.reduce_all(windows == list(_EXIF_MARK), axis=1)
    start = tf.argmax(found, output_type=tf.int32) + len(_EXIF_MARK)

    def number(offset: tf.Tensor, length: int) -> tf.Tensor:
        """Of `length` bytes, in the order that the segment's first letter states."""
        places = tf.expand_dims(start + offset, -1) + tf.range(length)
        digits = tf.gather(head, tf.clip_by_value(places, 0, last))
        powers = tf.constant([256**power for power in range(length)])
        big_endian = head[tf.minimum(start, last)] == ord("M")
        return tf.reduce_sum(digits * tf.where(big_endian, powers[::-1], powers), axis=-1)

    directory = number(tf.constant(4), 4)
    entries = directory + 2 + 12 * tf.range(number(directory, 2))
    stated = tf.reduce_max(tf.where(number(entries, 2) == _ORIENTATION_TAG, number(entries + 8, 2), 0))
    return tf.where(tf.reduce_any(found), stated, 1)


def _decode_png(data: tf.Tensor) -> tf.Tensor:
    """int32 (H, W, 3), 0 to 255, alpha composited on white."""
    # Filled up, as an offset behind the end of a file would be an error that shows the file's bytes.
    header = tf.strings.join([tf.strings.substr(data, 0, _DEPTH_OFFSET + 2), bytes(_DEPTH_OFFSET + 2)])
    depth, color_type = (tf.strings.substr(header, _DEPTH_OFFSET + place, 1) for place in (0, 1))
    return tf.cond(
        tf.logical_and(depth == _16_BITS, color_type == _GRAY),
        lambda: _decode_deep_gray_png(data),
        lambda: _decode_usual_png(data, depth),
    )


def _decode_deep_gray_png(data: tf.Tensor) -> tf.Tensor:
    """16 bits are rounded to 8 here, and cut off in files with colors or alpha, as Pillow does it."""
    pixels = tf.cast(tf.io.decode_png(data, channels=4, dtype=tf.uint16), tf.int32)
    levels, alpha = pixels[..., :3], pixels[..., 3:]
    # One level may be transparent, wholly.
    return tf.where(alpha == 0, 255, (levels + 128) // 257)


def _decode_usual_png(data: tf.Tensor, depth: tf.Tensor) -> tf.Tensor:
    pixels = tf.cast(tf.io.decode_png(data, channels=4), tf.int32)
    color, alpha = pixels[..., :3], pixels[..., 3:]
    # Where a file has no alpha, TensorFlow fills up with the highest value of the file's own bits.
    bits = tf.cast(tf.io.decode_raw(depth, tf.uint8), tf.int32)
    alpha = tf.where(alpha == 2 ** tf.minimum(bits, 8) - 1, 255, alpha)
    # Pillow's alpha_composite on an opaque background: 7 bits more than those of a pixel.
    return _divided_by_255(128 * (color * alpha + 255 * (255 - alpha)) + 128 * 128) // 128


def _divided_by_255(values: tf.Tensor) -> tf.Tensor:
    return (values + values // 256) // 256


def _luma(pixels: tf.Tensor) -> tf.Tensor:
    """int32 (H, W, 1) of (H, W, 3): the luma of ITU-R BT.601 in Pillow's integers."""
    weighted = tf.reduce_sum(pixels * [19595, 38470, 7471], axis=-1, keepdims=True)
    return (weighted + 0x8000) // 0x10000


def _resized(pixels: tf.Tensor, spec: PreprocessingSpec) -> tf.Tensor:
    """int32 (H, W, C) to (size, size, C)."""
    size = spec.image_size
    height, width = tf.shape(pixels)[0], tf.shape(pixels)[1]
    match spec.resize:
        case "stretch":
            return _resample(pixels, size, size)
        case "crop":
            side = tf.cast(tf.minimum(height, width), tf.float64)
            # Half a pixel may remain at either end; the filter takes such a box.
            return _resample(pixels, size, size, side)
        case "pad":
            longest = tf.maximum(height, width)
            inner_height, inner_width = _scaled(height, size, longest), _scaled(width, size, longest)
            inner = _resample(pixels, inner_height, inner_width)
            top, left = (size - inner_height) // 2, (size - inner_width) // 2
            margins = [[top, size - inner_height - top], [left, size - inner_width - left], [0, 0]]
            return tf.pad(inner, margins)
    assert_never(spec.resize)


def _scaled(length: tf.Tensor, size: int, longest: tf.Tensor) -> tf.Tensor:
    """As Python rounds: halves to the even number."""
    exact = tf.cast(length * size, tf.float64) / tf.cast(longest, tf.float64)
    return tf.maximum(1, tf.cast(tf.round(exact), tf.int32))


def _resample(
    pixels: tf.Tensor, height: tf.Tensor | int, width: tf.Tensor | int, side: tf.Tensor | None = None
) -> tf.Tensor:
    """Pillow's bilinear filter: a pass along rows and one along columns, rounded to 8 bits after each.

    Args:
      pixels: int32, (H, W, C).
      height: rows of the result.
      width: columns of the result.
      side: float64; of the centered square to take, instead of the whole image.
    """
    source_height, source_width = tf.shape(pixels)[0], tf.shape(pixels)[1]
    rows, columns = _coefficients(source_height, height, side), _coefficients(source_width, width, side)

    def down(image: tf.Tensor) -> tf.Tensor:
        return _rounded(tf.einsum("oh,hwc->owc", rows, image))

    def across(image: tf.Tensor) -> tf.Tensor:
        return _rounded(tf.einsum("ow,hwc->hoc", columns, image))

    # Pillow begins with the columns where much more height is lost than width (since its version 13).
    lost = source_height - height
    tall = tf.logical_and(lost > 0, lost > 2 * (source_width - width))
    return tf.cond(tall, lambda: across(down(pixels)), lambda: down(across(pixels)))


def _rounded(sums: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value((sums + _ONE // 2) // _ONE, 0, 255)


def _coefficients(source: tf.Tensor, target: tf.Tensor | int, side: tf.Tensor | None) -> tf.Tensor:
    """The weights of `source` pixels for each of `target` pixels, int32 (target, source).

    Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc` (libImaging/Resample.c) with its triangle
    filter, which is as wide as the step where an image gets smaller.
    """
    whole = tf.cast(source, tf.float64)
    length = whole if side is None else side
    scale = length / tf.cast(target, tf.float64)
    width = tf.maximum(scale, 1.0)
    centers = (whole - length) / 2 + (tf.cast(tf.range(target), tf.float64) + 0.5) * scale
    distances = (tf.cast(tf.range(source), tf.float64) - centers[:, None] + 0.5) * (1.0 / width)
    weights = tf.maximum(1.0 - tf.abs(distances), 0.0)
    weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
    return tf.cast(0.5 + weights * _ONE, tf.int32)
