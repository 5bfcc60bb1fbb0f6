"""The SavedModel as TensorFlow Serving loads it: by tf.saved_model.load and its signatures."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipeline.deployment.parity import encoded_copies
from pipeline.deployment.saved_model import SavedModelPredictor, write_saved_model
from pipeline.foundation.array_types import UInt8
from pipeline.foundation.workspace import Workspace
from pipeline.images.arrays import ImageArrays
from pipeline.training.trained_model import TrainedModel


@pytest.fixture(scope="module")
def folder(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved_model")
    write_saved_model(model.network, model.card.preprocessing, folder)
    return folder


@pytest.fixture(scope="module")
def images(trained_project: Workspace) -> UInt8[np.ndarray, "n h w c"]:
    return np.asarray(ImageArrays.load(trained_project.arrays / "test").images)


def test_pixels_give_probabilities_and_nothing_else(
    folder: Path, model: TrainedModel, images: UInt8[np.ndarray, "n h w c"]
) -> None:
    """A second output would change the form of TensorFlow Serving's answers."""
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    found = signature(image=tf.constant(images))
    assert set(found) == {"probabilities"}
    np.testing.assert_allclose(found["probabilities"], model.predict(images, 64), atol=1e-6)


def test_the_names_of_the_classes_travel_inside(folder: Path) -> None:
    loaded = tf.saved_model.load(str(folder))
    written = Path(loaded.classes.asset_path.numpy().decode())
    assert written.parent == folder / "assets"
    assert json.loads(written.read_text()) == ["dark", "bright", "striped"]


def test_encoded_images_of_any_size_give_what_the_evaluation_path_gives(
    folder: Path, model: TrainedModel, images: UInt8[np.ndarray, "n h w c"]
) -> None:
    files = list(encoded_copies(images[:12]))
    prepared = np.stack([model.card.preprocessing.apply(data) for data in files])
    signature = tf.saved_model.load(str(folder)).signatures["serve_bytes"]
    found = signature(image_bytes=tf.constant(files))
    np.testing.assert_allclose(found["probabilities"], model.predict(prepared, 64), atol=1e-6)
    assert set(found) == {"probabilities"}


def test_the_predictor_uses_both_signatures(
    folder: Path, model: TrainedModel, images: UInt8[np.ndarray, "n h w c"]
) -> None:
    predictor = SavedModelPredictor(folder)
    np.testing.assert_allclose(predictor.predict(images[:5]), model.predict(images[:5], 64), atol=1e-6)
    files = list(encoded_copies(images[:2]))
    assert predictor.predict_encoded(files).shape == (2, 3)


def test_every_weight_is_stored_once(folder: Path, model: TrainedModel) -> None:
    weights = 4 * model.network.count_params()
    stored = sum(file.stat().st_size for file in (folder / "variables").glob("*.data*"))
    assert weights <= stored < 1.5 * weights + 20_000
