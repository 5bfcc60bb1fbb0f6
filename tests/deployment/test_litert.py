"""LiteRT files of a really trained network, run by LiteRT."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.deployment import litert
from pipeline.deployment.saved_model import write_bare_saved_model
from pipeline.foundation.array_types import Float32, UInt8
from pipeline.foundation.workspace import Workspace
from pipeline.images.arrays import ImageArrays
from pipeline.inference.predictor import LiteRtPredictor
from pipeline.training.trained_model import TrainedModel


@pytest.fixture(scope="module")
def bare(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bare")
    write_bare_saved_model(model.network, model.card.preprocessing, folder)
    return folder


@pytest.fixture
def arrays(trained_project: Workspace) -> Callable[[str], ImageArrays]:
    return lambda subset: ImageArrays.load(trained_project.arrays / subset)


def answers(content: bytes, folder: Path, images: UInt8[np.ndarray, "n h w c"]) -> Float32[np.ndarray, "n k"]:
    file = folder / "model.tflite"
    file.write_bytes(content)
    return LiteRtPredictor(file, threads=1).predict(images)


def test_float32_gives_the_probabilities_of_keras(
    bare: Path, model: TrainedModel, arrays: Callable[[str], ImageArrays], tmp_path: Path
) -> None:
    images = arrays("test").images
    found = answers(litert.convert_to_float32(bare), tmp_path, images)
    np.testing.assert_allclose(found, model.predict(images, 64), atol=1e-5)


def test_smaller_numbers_make_smaller_files_and_keep_the_accuracy(
    bare: Path, model: TrainedModel, arrays: Callable[[str], ImageArrays], tmp_path: Path
) -> None:
    test = arrays("test")
    accuracy = (model.predict(test.images, 64).argmax(axis=1) == test.labels).mean()
    float32 = litert.convert_to_float32(bare)
    smaller = [
        litert.convert_to_float16(bare),
        litert.convert_to_dynamic_int8(bare),
        litert.convert_to_int8(bare, arrays("train").images[:50]),
    ]
    for content in smaller:
        assert len(content) < 0.8 * len(float32)
        found = answers(content, tmp_path, np.asarray(test.images))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=0.02)
        assert (found.argmax(axis=1) == test.labels).mean() >= accuracy - 0.05


def test_the_same_network_gives_the_same_bytes(bare: Path) -> None:
    assert litert.convert_to_dynamic_int8(bare) == litert.convert_to_dynamic_int8(bare)


def test_the_ranges_of_int8_come_from_the_calibration_images(
    bare: Path, arrays: Callable[[str], ImageArrays], tmp_path: Path
) -> None:
    """Calibrated on black images alone, all brighter ones are beyond its ranges."""
    test = arrays("test")
    black = litert.convert_to_int8(bare, np.zeros_like(test.images))
    found = answers(black, tmp_path, np.asarray(test.images))
    assert (found.argmax(axis=1) == test.labels).mean() < 0.8


def test_calibration_images_are_of_every_class_in_proportion() -> None:
    labels = np.array([0] * 60 + [1] * 30 + [2] * 10)
    images = labels.astype(np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), dtype=np.uint8)
    train = ImageArrays(images, labels, np.arange(100))
    chosen = litert.calibration_images(train, 3, 20, seed=0)
    assert chosen.shape == (20, 2, 2, 1)
    np.testing.assert_array_equal(np.bincount(chosen[:, 0, 0, 0]), [12, 6, 2])
    assert len(litert.calibration_images(train, 3, 1000, seed=0)) == 100
