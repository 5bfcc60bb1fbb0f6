"""Initial weights that Keras has no class for."""

from typing import Any

import keras
import numpy as np

_WHITENING_IMAGES = 5000


@keras.saving.register_keras_serializable(package="pipeline")
class IdentityLike(keras.initializers.VarianceScaling):
    """Convolution kernels that at first pass their input channels on ("dirac" initialisation).

    The first `in` of the `out` filters are identities, the others uniform in +-1/sqrt(fan_in), as in
    the CIFAR-10 recipe of Jordan 2024 (https://arxiv.org/abs/2404.00498).
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(scale=1 / 3, mode="fan_in", distribution="uniform", seed=seed)

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Any:
        kernel = keras.ops.convert_to_numpy(super().__call__(shape, dtype="float32")).copy()
        height, width, inputs, outputs = shape
        passed = min(inputs, outputs)
        kernel[..., :passed] = 0.0
        kernel[height // 2, width // 2, np.arange(passed), np.arange(passed)] = 1.0
        return keras.ops.convert_to_tensor(kernel, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {"seed": super().get_config()["seed"]}


def whitening_kernel(images: np.ndarray, std: tuple[float, ...]) -> np.ndarray:
    """A 2x2 convolution that whitens patches of these images.

    Its filters are the eigenvectors of the patches' covariance, scaled to unit variance, each with
    both signs (Jordan 2024, section 3.1). The covariance is summed in integers, so that the number of
    threads cannot change a bit of it.

    Args:
      images: uint8, (N, height, width, channels); at most 5,000 of them, evenly spaced, are used.
      std: grey levels per channel that the network divides by.

    Returns:
      float32, (2, 2, channels, 8 * channels).
    """
    # Evenly spaced, as images often come class by class.
    rows = np.linspace(0, len(images) - 1, min(len(images), _WHITENING_IMAGES)).astype(np.int64)
    images = np.asarray(images[rows])
    channels = images.shape[-1]
    size = 4 * channels
    total, products, count = np.zeros(size, np.int64), np.zeros((size, size), np.int64), 0
    for image in images:
        patches = _patches(image).astype(np.int64)
        total += patches.sum(axis=0)
        products += patches.T @ patches
        count += len(patches)
    center = total / count
    covariance = products / count - np.outer(center, center)
    scale = np.tile(np.asarray(std), 4)
    covariance /= np.outer(scale, scale)
    values, vectors = np.linalg.eigh(covariance)
    # The sign of an eigenvector is arbitrary; fix it, so that libraries cannot differ in it.
    vectors *= np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(size)])
    # Directions without any variance (grey images in three channels) would be blown up to noise.
    usable = values > 1e-6 * values.max()
    filters = np.where(usable, vectors / np.sqrt(values.clip(min=0) + 5e-4), 0.0)[:, ::-1]
    both = np.concatenate([filters, -filters], axis=1)
    return both.reshape(2, 2, channels, 2 * size).astype(np.float32)


def _patches(image: np.ndarray) -> np.ndarray:
    """All 2x2 patches of an image (height, width, channels) as rows: ((h-1)(w-1), 4 * channels)."""
    corners = [image[:-1, :-1], image[:-1, 1:], image[1:, :-1], image[1:, 1:]]
    return np.concatenate(corners, axis=-1).reshape(-1, 4 * image.shape[-1])
