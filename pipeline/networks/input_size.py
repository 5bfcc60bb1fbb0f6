"""The side that a network works at, where it is not that of the images it is given."""

import keras
import numpy as np
from keras import layers

from pipeline.foundation.array_types import UInt8
from pipeline.foundation.errors import PipelineError


def at_size(image: keras.KerasTensor, size: int) -> keras.KerasTensor:
    """An image (N, side, side, channels) with another side.

    It is enlarged bilinearly, or every pixel becomes the mean of a square of pixels: both are simple
    enough for every runtime that models are exported to.

    Raises PipelineError where a smaller side does not divide that of the image.
    """
    side = image.shape[1]
    if size == side:
        return image
    if size > side:
        return layers.Resizing(size, size, interpolation="bilinear", dtype="float32", name="enlarge")(image)
    return layers.AveragePooling2D(_factor(side, size), dtype="float32", name="reduce")(image)


def images_at_size(images: UInt8[np.ndarray, "n side side c"], size: int) -> UInt8[np.ndarray, "n s s c"]:
    """Images as a network sees them that reduces them to `size`; those that it enlarges stay as they are."""
    count, side, _, channels = images.shape
    if size >= side:
        return images
    factor = _factor(side, size)
    squares = images.reshape(count, size, factor, size, factor, channels)
    means: UInt8[np.ndarray, "n s s c"] = np.rint(squares.mean(axis=(2, 4))).astype(np.uint8)
    return means


def _factor(side: int, size: int) -> int:
    if side % size:
        raise PipelineError(
            f"Images of {side} pixels cannot be reduced to an input_size of {size}.",
            expected=f"a size that divides {side}, or one above it",
            remedy="change input_size or preprocess.image_size",
        )
    return side // size
