"""The bundled backbone can be made again: from arrays to weights that load and give the same features."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pipeline.backbones import bundled
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import read_json
from pipeline.pretraining import bundled_backbone as pretraining

CLASSES = 3


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Files of the backbone in a folder of the test's own, and a network of few channels."""
    monkeypatch.setattr(bundled, "_WEIGHTS", tmp_path / "backbone.npz")
    monkeypatch.setattr(bundled, "_FACTS", tmp_path / "backbone.json")
    monkeypatch.setattr(bundled, "WIDTHS", (8, 8))
    monkeypatch.setattr(pretraining, "WIDTHS", (8, 8))
    return tmp_path


def write_subset(folder: Path, ids: np.ndarray) -> None:
    """Images whose brightness tells their class; what an image shows follows from its id."""
    folder.mkdir(parents=True)
    labels = ids % CLASSES
    images = np.stack([np.random.default_rng(i).integers(0, 60, (16, 16, 3)) for i in ids])
    np.save(folder / "images.npy", (images + 80 * labels[:, None, None, None]).astype(np.uint8))
    np.save(folder / "labels.npy", labels.astype(np.int64))
    np.save(folder / "ids.npy", ids.astype(np.int64))


def pretrained(arrays: Path, small: Path, validation: slice, eager: None) -> tuple[bytes, dict[str, object]]:
    ids = np.arange(60)
    write_subset(arrays / "validation", ids[validation])
    write_subset(arrays / "train", np.setdiff1d(ids, ids[validation]))
    write_subset(arrays / "test", np.arange(100, 130))
    plan = dataclasses.replace(pretraining._PLAN, epochs=2, batch_size=20, learning_rate=0.1)
    pretraining.pretrain(arrays, arrays / "checkpoints", plan, "float32")
    return (small / "backbone.npz").read_bytes(), read_json(small / "backbone.json")


def test_the_stored_backbone_follows_from_the_images_not_from_their_split(
    small: Path, tmp_path: Path, eager: None
) -> None:
    first = pretrained(tmp_path / "a", small, slice(0, 6), eager)
    second = pretrained(tmp_path / "b", small, slice(30, 50), eager)
    assert first[0] == second[0]
    assert first[1]["train_images"] == second[1]["train_images"] == 60
    assert first[1]["test_accuracy"] == second[1]["test_accuracy"]

    images = np.load(tmp_path / "a" / "test" / "images.npy").astype(np.float32)
    features = np.asarray(bundled.build_bundled((16, 16, 3))(images))
    assert features.shape == (30, 3, 3, 8)
    assert np.ptp(features) > 0


def test_damaged_weights_are_refused(small: Path, tmp_path: Path, eager: None) -> None:
    pretrained(tmp_path / "a", small, slice(0, 6), eager)
    (small / "backbone.npz").write_bytes((small / "backbone.npz").read_bytes()[:-1] + b"?")
    with pytest.raises(PipelineError, match=r"backbone\.npz is damaged"):
        bundled.build_bundled((16, 16, 3))
