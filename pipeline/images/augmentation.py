"""Random changes of training images: whole batches at once, in NumPy, seeded.

A batch of 32x32 images costs 5 to 60 microseconds an image, a percent or two of a training step.
"""

import numpy as np

from pipeline.foundation.array_types import Bool, Float32, Int64, UInt8
from pipeline.params.augmentation import AugmentationParams


def augment(
    images: UInt8[np.ndarray, "n h w c"],
    targets: Float32[np.ndarray, "n k"],
    params: AugmentationParams,
    fill: tuple[float, ...],
    generator: np.random.Generator,
) -> tuple[UInt8[np.ndarray, "n h w c"], Float32[np.ndarray, "n k"]]:
    """Change every image of a batch at random; the inputs stay as they are.

    Args:
      images: of one size.
      targets: rows sum to 1. Only mixup and cutmix change them.
      params: what may happen, and how strongly.
      fill: gray level per channel for what cutout covers, usually the channel means.
      generator: decides everything; the same state gives the same bytes.
    """
    images = _flip_and_shift(images, params, generator)
    if params.rotation or params.zoom:
        images = _rotate_and_zoom(images, params.rotation, params.zoom, generator)
    if params.brightness or params.contrast:
        images = _brighten_and_contrast(images, params.brightness, params.contrast, generator)
    if params.cutout:
        images = _cutout(images, params.cutout, fill, generator)
    if params.random_erasing:
        images = _random_erasing(images, params.random_erasing, generator)
    if params.mixup and params.cutmix:
        # Both on: a fair coin per batch decides, as is usual (Wightman et al. 2021, "ResNet strikes back").
        mix = _mixup if generator.random() < 0.5 else _cutmix
        return mix(images, targets, params.mixup if mix is _mixup else params.cutmix, generator)
    if params.mixup:
        return _mixup(images, targets, params.mixup, generator)
    if params.cutmix:
        return _cutmix(images, targets, params.cutmix, generator)
    return images, targets


def _flip_and_shift(
    images: UInt8[np.ndarray, "n h w c"], params: AugmentationParams, generator: np.random.Generator
) -> UInt8[np.ndarray, "n h w c"]:
    """Flips, and shifts by whole pixels mirrored at the border, in one gather."""
    count, height, width, _ = images.shape
    rows = _source_index(count, height, params.shift, params.vertical_flip, generator)
    columns = _source_index(count, width, params.shift, params.horizontal_flip, generator)
    return np.asarray(images[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]])


def _source_index(
    count: int, side: int, shift: float, flip: bool, generator: np.random.Generator
) -> Int64[np.ndarray, "{count} {side}"]:
    """For each image, which row (or column) every new row (or column) is taken from."""
    farthest = round(shift * side)
    index = np.arange(side) + generator.integers(-farthest, farthest, size=(count, 1), endpoint=True)
    index = _mirror(index, side)
    if flip:
        index = np.where(generator.random((count, 1)) < 0.5, index, side - 1 - index)
    return index


def _mirror(index: Int64[np.ndarray, "*shape"], side: int) -> Int64[np.ndarray, "*shape"]:
    """Fold positions outside 0..side-1 back inside, not repeating the border itself."""
    if side == 1:
        return np.zeros_like(index)
    index = np.abs(index) % (2 * (side - 1))
    return np.asarray(np.minimum(index, 2 * (side - 1) - index))


def _rotate_and_zoom(
    images: UInt8[np.ndarray, "n h w c"], rotation: float, zoom: float, generator: np.random.Generator
) -> UInt8[np.ndarray, "n h w c"]:
    """Turn about the center by up to `rotation` degrees, scale by 1 +- `zoom`; bilinear, mirrored border."""
    count, height, width, _ = images.shape
    angle = np.deg2rad(generator.uniform(-rotation, rotation, size=(count, 1, 1)))
    scale = 1.0 + generator.uniform(-zoom, zoom, size=(count, 1, 1))
    y = np.arange(height)[None, :, None] - (height - 1) / 2
    x = np.arange(width)[None, None, :] - (width - 1) / 2
    source_y = (np.cos(angle) * y - np.sin(angle) * x) / scale + (height - 1) / 2
    source_x = (np.sin(angle) * y + np.cos(angle) * x) / scale + (width - 1) / 2
    top, left = np.floor(source_y).astype(np.int64), np.floor(source_x).astype(np.int64)
    down = (source_y - top).astype(np.float32)[..., None]
    right = (source_x - left).astype(np.float32)[..., None]
    rows = _mirror(top, height), _mirror(top + 1, height)
    columns = _mirror(left, width), _mirror(left + 1, width)
    batch = np.arange(count)[:, None, None]
    upper = images[batch, rows[0], columns[0]] * (1 - right) + images[batch, rows[0], columns[1]] * right
    lower = images[batch, rows[1], columns[0]] * (1 - right) + images[batch, rows[1], columns[1]] * right
    return np.asarray(np.rint(upper * (1 - down) + lower * down), np.uint8)


def _brighten_and_contrast(
    images: UInt8[np.ndarray, "n h w c"], brightness: float, contrast: float, generator: np.random.Generator
) -> UInt8[np.ndarray, "n h w c"]:
    """Scale the distance from each image's mean by 1 +- `contrast`, then add up to +- `brightness` of 255."""
    shape = (len(images), 1, 1, 1)
    factor = (1.0 + generator.uniform(-contrast, contrast, size=shape)).astype(np.float32)
    offset = (255.0 * generator.uniform(-brightness, brightness, size=shape)).astype(np.float32)
    mean = images.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float32)
    changed = (images - mean) * factor + (mean + offset)
    return np.asarray(np.clip(np.rint(changed), 0, 255), np.uint8)


def _cutout(
    images: UInt8[np.ndarray, "n h w c"],
    side_share: float,
    fill: tuple[float, ...],
    generator: np.random.Generator,
) -> UInt8[np.ndarray, "n h w c"]:
    """Cover one square per image, wholly inside it (after DeVries and Taylor 2017)."""
    count, height, width, _ = images.shape
    side_y, side_x = max(1, round(side_share * height)), max(1, round(side_share * width))
    top = generator.integers(0, height - side_y, size=count, endpoint=True)
    left = generator.integers(0, width - side_x, size=count, endpoint=True)
    inside = _rectangles(height, width, top, left, top + side_y, left + side_x)
    color = np.rint(np.asarray(fill)).astype(np.uint8)
    return np.where(inside[..., None], color, images)


def _random_erasing(
    images: UInt8[np.ndarray, "n h w c"], probability: float, generator: np.random.Generator
) -> UInt8[np.ndarray, "n h w c"]:
    """Paint a rectangle of noise over some images: area 2-33 %, aspect 0.3-3.3 (Zhong et al. 2020)."""
    count, height, width, _ = images.shape
    area = generator.uniform(0.02, 0.33, size=count) * height * width
    aspect = np.exp(generator.uniform(np.log(0.3), np.log(1 / 0.3), size=count))
    side_y = np.clip(np.rint(np.sqrt(area * aspect)), 1, height).astype(np.int64)
    side_x = np.clip(np.rint(np.sqrt(area / aspect)), 1, width).astype(np.int64)
    top = (generator.random(count) * (height - side_y + 1)).astype(np.int64)
    left = (generator.random(count) * (width - side_x + 1)).astype(np.int64)
    chosen = np.less(generator.random(count), probability)
    inside = _rectangles(height, width, top, left, top + side_y, left + side_x) & chosen[:, None, None]
    noise = generator.integers(0, 256, size=images.shape, dtype=np.uint8)
    return np.where(inside[..., None], noise, images)


def _mixup(
    images: UInt8[np.ndarray, "n h w c"],
    targets: Float32[np.ndarray, "n k"],
    alpha: float,
    generator: np.random.Generator,
) -> tuple[UInt8[np.ndarray, "n h w c"], Float32[np.ndarray, "n k"]]:
    """Blend every image and target with another of the batch (Zhang et al. 2018), one weight per image."""
    weight = generator.beta(alpha, alpha, size=len(images)).astype(np.float32)
    other = generator.permutation(len(images))
    share = weight[:, None, None, None]
    blended = np.rint(images * share + images[other] * (1 - share)).astype(np.uint8)
    return blended, _mix_targets(targets, other, weight)


def _cutmix(
    images: UInt8[np.ndarray, "n h w c"],
    targets: Float32[np.ndarray, "n k"],
    alpha: float,
    generator: np.random.Generator,
) -> tuple[UInt8[np.ndarray, "n h w c"], Float32[np.ndarray, "n k"]]:
    """Paste a rectangle of another image of the batch, target by area (Yun et al. 2019)."""
    count, height, width, _ = images.shape
    cut = np.sqrt(1.0 - generator.beta(alpha, alpha, size=count))
    center_y, center_x = generator.integers(0, height, size=count), generator.integers(0, width, size=count)
    half_y, half_x = np.rint(cut * height / 2).astype(int), np.rint(cut * width / 2).astype(int)
    inside = _rectangles(
        height, width, center_y - half_y, center_x - half_x, center_y + half_y, center_x + half_x
    )
    other = generator.permutation(count)
    kept = (1.0 - inside.mean(axis=(1, 2))).astype(np.float32)
    return np.where(inside[..., None], images[other], images), _mix_targets(targets, other, kept)


def _mix_targets(
    targets: Float32[np.ndarray, "n k"], other: Int64[np.ndarray, " n"], weight: Float32[np.ndarray, " n"]
) -> Float32[np.ndarray, "n k"]:
    return np.asarray(targets * weight[:, None] + targets[other] * (1 - weight[:, None]))


def _rectangles(
    height: int,
    width: int,
    top: Int64[np.ndarray, " n"],
    left: Int64[np.ndarray, " n"],
    bottom: Int64[np.ndarray, " n"],
    right: Int64[np.ndarray, " n"],
) -> Bool[np.ndarray, "n {height} {width}"]:
    """Which pixels lie in each image's rectangle [top, bottom) x [left, right)."""
    y, x = np.arange(height)[None, :, None], np.arange(width)[None, None, :]
    rows = (y >= top[:, None, None]) & (y < bottom[:, None, None])
    columns = (x >= left[:, None, None]) & (x < right[:, None, None])
    return rows & columns
