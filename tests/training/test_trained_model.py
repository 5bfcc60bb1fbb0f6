"""The folder of a trained model: written, loaded, and what its card says."""

import csv
import hashlib
import platform
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.inference.model_card import ModelCard, ParameterCounts, TrainingSummary
from pipeline.networks.from_scratch import fit_from_scratch
from pipeline.params.train_baseline import BaselineConfig
from pipeline.training.data import TrainingData
from pipeline.training.fitting import Fitted
from pipeline.training.saving import save_trained_model
from pipeline.training.trained_model import TrainedModel
from tests.training import tiny


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return tiny.data(tmp_path_factory.mktemp("arrays"), train=41)


@pytest.fixture(scope="module")
def config() -> BaselineConfig:
    return tiny.baseline_config(batch_size=8, precision="mixed_bfloat16", network="small_cnn", epochs=3)


@pytest.fixture(scope="module")
def fitted(data: TrainingData, config: BaselineConfig, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return fit_from_scratch(data, config, tmp_path_factory.mktemp("checkpoints"), tiny.ignore)


def save(folder: Path, fitted: Fitted, data: TrainingData) -> ModelCard:
    return save_trained_model(folder, fitted, data, "baseline", "train_baseline")


@pytest.fixture(scope="module")
def folder(fitted: Fitted, data: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "baseline"
    save(folder, fitted, data)
    return folder


def test_a_loaded_model_predicts_as_keras_does(folder: Path, data: TrainingData) -> None:
    model = TrainedModel.load(folder)
    images = data.train.images
    found = model.predict(images, batch_size=7)
    plain = keras.models.load_model(folder / "model.keras", compile=False)
    np.testing.assert_allclose(found, plain.predict_on_batch(images), atol=1e-6)
    assert found.shape == (41, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_what_was_fitted_in_bfloat16_is_saved_in_float32(folder: Path) -> None:
    with zipfile.ZipFile(folder / "model.keras") as archive:
        assert b"bfloat16" not in archive.read("config.json")


def test_card(folder: Path, config: BaselineConfig, data: TrainingData) -> None:
    card = TrainedModel.load(folder).card
    assert (card.candidate, card.stage, card.network) == ("baseline", "train_baseline", "small_cnn")
    assert card.model_digest == hashlib.sha256((folder / "model.keras").read_bytes()).hexdigest()
    assert card.data_digest == data.digest
    assert card.preprocessing == data.preprocessing
    assert card.statistics == data.statistics
    assert card.hyperparameters == config.model_dump(mode="json")
    assert card.hyperparameters["train_baseline"]["widths"] == [8, 8]
    # conv 9*1*8, norm 4*8; conv 9*8*8, norm 4*8; hidden 4*4*8*128, norm 4*128; classifier 128*3+3;
    # half of every norm's numbers are statistics, which are not trained
    total = 72 + 32 + 576 + 32 + 16384 + 512 + 387
    frozen = (32 + 32 + 512) // 2
    assert card.parameters == ParameterCounts(total, total - frozen, frozen)
    assert card.forward_macs == 256 * 72 + 64 * 576 + 16384 + 384
    assert sum(layer.parameters for layer in card.layers) == card.parameters.total
    assert card.training == TrainingSummary(epochs=3, best_epoch=3, stopped_early=False, train_images=41)
    assert card.versions["keras"] == keras.__version__
    assert card.versions["numpy"] == np.__version__
    assert platform.python_version().startswith(card.versions["python"])


def test_history(folder: Path, fitted: Fitted) -> None:
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "phase",
        "epoch",
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "learning_rate",
    ]
    assert [(row["phase"], row["epoch"]) for row in rows] == [("train", str(epoch)) for epoch in (1, 2, 3)]
    assert [float(row["val_loss"]) for row in rows] == [result.val_loss for result in fitted.history]


def test_saved_twice_gives_the_same_bytes(
    folder: Path, fitted: Fitted, data: TrainingData, tmp_path: Path
) -> None:
    save(tmp_path / "again", fitted, data)
    assert tiny.files(tmp_path / "again") == tiny.files(folder)


@pytest.mark.parametrize("name", ["model.keras", "card.json"])
def test_a_missing_file(name: str, folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        if file.name != name:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(PipelineError, match=f"{name} is missing"):
        TrainedModel.load(tmp_path)
