"""Scaling, and initial weights: kernels that pass images on, and whitening from patches."""

import keras
import numpy as np
import pytest
from jaxtyping import Float, Float32, UInt8
from scipy import ndimage

from pipeline.images.arrays import ChannelStatistics
from pipeline.networks import fast_cnn
from pipeline.networks.fast_cnn import IdentityLike, scaling, whitening_kernel


def test_scaling_gives_zero_mean_and_unit_variance() -> None:
    statistics = ChannelStatistics(mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 0.0))
    image = np.array([[[[14, 12, 33]]]], np.uint8)
    # A channel without any variance is divided by one gray level.
    found = keras.ops.convert_to_numpy(scaling(statistics)(image)).ravel()
    np.testing.assert_allclose(found, [2, -2, 3], atol=1e-5)


def textured(count: int = 30, channels: int = 3, size: int = 24) -> UInt8[np.ndarray, "n h w c"]:
    """Smooth noise with correlated channels, as photographs have."""
    random = np.random.default_rng(0)
    shared = ndimage.gaussian_filter(random.normal(size=(count, size, size, 1)), (0, 2, 2, 0))
    own = ndimage.gaussian_filter(random.normal(size=(count, size, size, channels)), (0, 1, 1, 0))
    values = shared / shared.std() + 0.5 * own / own.std()
    images: UInt8[np.ndarray, "n h w c"] = (120 + 40 * values).clip(0, 255).astype(np.uint8)
    return images


def responses(
    images: UInt8[np.ndarray, "n h w c"],
    kernel: Float32[np.ndarray, "2 2 c filters"],
    std: Float[np.ndarray, " c"],
) -> Float[np.ndarray, "positions filters"]:
    """Every filter at every place of the scaled images, by a plain loop."""
    scaled = (images - images.mean(axis=(0, 1, 2))) / std
    rows = [
        np.tensordot(scaled[:, y : y + 2, x : x + 2], kernel, axes=3)
        for y in range(images.shape[1] - 1)
        for x in range(images.shape[2] - 1)
    ]
    return np.concatenate(rows)


@pytest.mark.parametrize("channels", [1, 3])
def test_whitened_patches_are_uncorrelated_with_unit_variance(channels: int) -> None:
    images = textured(channels=channels)
    std = images.std(axis=(0, 1, 2))
    kernel = whitening_kernel(images, tuple(std))
    assert kernel.shape == (2, 2, channels, 8 * channels)
    assert kernel.dtype == np.float32
    half = 4 * channels
    np.testing.assert_array_equal(kernel[..., half:], -kernel[..., :half])
    covariance = np.cov(responses(images, kernel[..., :half], std), rowvar=False)
    # The variance that is added before dividing takes a share from the weakest directions.
    np.testing.assert_allclose(covariance, np.eye(half), atol=0.1)
    assert covariance[0, 0] == pytest.approx(1, abs=0.002)


def test_gray_images_in_three_channels_have_four_directions_only() -> None:
    images = np.repeat(textured(channels=1), 3, axis=-1)
    kernel = whitening_kernel(images, tuple(images.std(axis=(0, 1, 2))))
    used = np.abs(kernel).max(axis=(0, 1, 2)) > 0
    assert used.tolist() == [True] * 4 + [False] * 8 + [True] * 4 + [False] * 8
    gray = whitening_kernel(images[..., :1], tuple(images.std(axis=(0, 1, 2))[:1]))
    np.testing.assert_allclose(np.abs(kernel.sum(axis=2)[..., :4]), np.abs(gray[:, :, 0, :4]), rtol=0.02)


def test_plain_images_give_no_filters() -> None:
    assert not whitening_kernel(np.full((3, 8, 8, 3), 9, np.uint8), (1.0, 1.0, 1.0)).any()


def test_the_order_of_images_does_not_matter() -> None:
    images = textured()
    kernel = whitening_kernel(images, (40.0, 40.0, 40.0))
    assert kernel.tobytes() == whitening_kernel(images[::-1], (40.0, 40.0, 40.0)).tobytes()


def test_images_sorted_by_class_are_all_represented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_cnn, "_WHITENING_IMAGES", 10)
    plain, striped = np.full((45, 8, 8, 1), 100, np.uint8), np.full((45, 8, 8, 1), 100, np.uint8)
    striped[:, ::2] = 200
    first = whitening_kernel(np.concatenate([plain, striped]), (50.0,))
    last = whitening_kernel(np.concatenate([striped, plain]), (50.0,))
    assert first.any()
    np.testing.assert_array_equal(first, last)


@pytest.mark.parametrize("filters", [2, 3, 5])
def test_identity_like_passes_channels_on(filters: int) -> None:
    keras.utils.set_random_seed(0)
    layer = keras.layers.Conv2D(
        filters, 3, padding="same", use_bias=False, kernel_initializer=IdentityLike(seed=1)
    )
    image = np.random.default_rng(0).normal(size=(1, 6, 7, 3)).astype(np.float32)
    result = keras.ops.convert_to_numpy(layer(image))
    passed = min(filters, 3)
    np.testing.assert_allclose(result[..., :passed], image[..., :passed], atol=1e-6)
    others = keras.ops.convert_to_numpy(layer.kernel)[..., passed:]
    limit = 1 / np.sqrt(3 * 3 * 3)
    assert (np.abs(others) <= limit).all()
    assert not others.size or np.abs(others).max() > 0.9 * limit


def test_identity_like_survives_its_configuration() -> None:
    first = IdentityLike(seed=3)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(first))
    assert isinstance(copy, IdentityLike)
    kernels = [keras.ops.convert_to_numpy(made((3, 3, 2, 4))) for made in (first, copy)]
    np.testing.assert_array_equal(*kernels)
