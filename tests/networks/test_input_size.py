"""Networks that work at another size than their images have."""

import keras
import numpy as np
import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.networks.input_size import at_size, images_at_size


def resized(image: np.ndarray, size: int) -> np.ndarray:
    inputs = keras.Input(image.shape)
    found: np.ndarray = np.asarray(keras.Model(inputs, at_size(inputs, size))(image[None]))[0]
    return found


def test_a_smaller_size_averages_squares() -> None:
    image = np.random.default_rng(0).integers(0, 256, (12, 12, 3)).astype(np.float32)
    expected = image.reshape(4, 3, 4, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(resized(image, 4), expected, rtol=1e-6)
    found = images_at_size(image[None].astype(np.uint8), 4)
    np.testing.assert_array_equal(found[0], np.rint(expected).astype(np.uint8))


def test_the_same_and_a_larger_size() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(resized(image, 8), image)
    larger = resized(image, 20)
    assert larger.shape == (20, 20, 3)
    assert larger.min() >= image.min()
    np.testing.assert_allclose(larger.mean(), image.mean(), rtol=0.05)
    images = image[None].astype(np.uint8)
    assert images_at_size(images, 20) is images


@pytest.mark.parametrize("size", [5, 9])
def test_a_size_that_does_not_divide(size: int) -> None:
    with pytest.raises(PipelineError, match=f"12 pixels cannot be reduced to an input_size of {size}"):
        at_size(keras.Input((12, 12, 3)), size)
