"""Model files: equal bytes for equal models, and still plain Keras files."""

import json
import zipfile
from pathlib import Path

import keras
import numpy as np

from pipeline.images.arrays import ChannelStatistics
from pipeline.networks.from_scratch import build_from_scratch
from pipeline.networks.precision import in_float32
from pipeline.training.keras_file import save_stable

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)


def model(seed: int = 0, dropout: float = 0.2) -> keras.Model:
    keras.utils.set_random_seed(seed)

    def builder() -> keras.Model:
        statistics = ChannelStatistics((128.0,) * 3, (64.0,) * 3)
        return build_from_scratch("fast_cnn", IMAGES, 3, statistics, (8, 8), dropout)

    return in_float32(builder(), builder)


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    for name, seed in (("first", 0), ("second", 0), ("other", 1)):
        save_stable(model(seed), tmp_path / f"{name}.keras")
    contents = {path.stem: path.read_bytes() for path in tmp_path.iterdir()}
    assert contents["first"] == contents["second"]
    assert contents["first"] != contents["other"]


def test_plain_keras_reads_the_file(tmp_path: Path) -> None:
    saved = model()
    save_stable(saved, tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in saved.layers]
    np.testing.assert_array_equal(loaded.predict_on_batch(IMAGES), saved.predict_on_batch(IMAGES))


def test_the_file_names_none_of_our_code(tmp_path: Path) -> None:
    """So that it loads where this package is not installed."""
    save_stable(model(), tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert b"pipeline" not in archive.read("config.json")


def test_the_file_tells_no_time(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    save_stable(model(), path)
    with zipfile.ZipFile(path) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        metadata = json.loads(archive.read("metadata.json"))
    assert metadata["date_saved"].startswith("1980")
    assert metadata["keras_version"] == keras.__version__
