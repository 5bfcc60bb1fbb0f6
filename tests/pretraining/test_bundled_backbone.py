"""The bundled backbone can be made again: from arrays to weights that load and give the same features."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from jaxtyping import Int64

from pipeline.backbones import bundled
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import read_json
from pipeline.images.arrays import ChannelStatistics
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.pretraining import bundled_backbone as pretraining
from pipeline.training import fitting
from pipeline.training.data import TrainingData
from pipeline.training.fitting import EpochResult, FitPlan, OnEpoch

pytestmark = pytest.mark.usefixtures("eager")

CLASSES = 3


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Files of the backbone in a folder of the test's own, and a network of few channels."""
    monkeypatch.setattr(bundled, "_WEIGHTS", tmp_path / "backbone.npz")
    monkeypatch.setattr(bundled, "_FACTS", tmp_path / "backbone.json")
    monkeypatch.setattr(bundled, "WIDTHS", (8, 8))
    monkeypatch.setattr(pretraining, "WIDTHS", (8, 8))
    return tmp_path


def write_subset(folder: Path, ids: Int64[np.ndarray, " n"]) -> None:
    """Images whose brightness tells their class; what an image shows follows from its id."""
    folder.mkdir(parents=True)
    labels = ids % CLASSES
    images = np.stack([np.random.default_rng(i).integers(0, 60, (16, 16, 3)) for i in ids])
    np.save(folder / "images.npy", (images + 80 * labels[:, None, None, None]).astype(np.uint8))
    np.save(folder / "labels.npy", labels.astype(np.int64))
    np.save(folder / "ids.npy", ids.astype(np.int64))


def write_arrays(folder: Path, first_id: int = 0, validation: slice = slice(0, 6)) -> None:
    """Sixty images to train on, of which some are in the validation subset, and thirty of the test subset."""
    ids = np.arange(first_id, first_id + 60)
    write_subset(folder / "validation", ids[validation])
    write_subset(folder / "train", np.setdiff1d(ids, ids[validation]))
    write_subset(folder / "test", np.arange(200, 230))
    ChannelStatistics((0.0,) * 3, (1.0,) * 3).save(folder / "statistics.json")
    PreprocessingSpec(16, "pad", "rgb", ("dark", "gray", "bright")).save(folder / "preprocessing.json")


def pretrained(
    small: Path, arrays: Path, checkpoints: Path | None = None, learning_rate: float = 0.1
) -> tuple[bytes, dict[str, object]]:
    """The backbone that is stored, and its description."""
    plan = replace(pretraining._PLAN, epochs=2, batch_size=20, learning_rate=learning_rate)
    pretraining.pretrain(arrays, checkpoints or arrays / "checkpoints", plan, "float32")
    return (small / "backbone.npz").read_bytes(), read_json(small / "backbone.json")


def test_the_stored_backbone_follows_from_the_images_not_from_their_split(
    small: Path, tmp_path: Path
) -> None:
    write_arrays(tmp_path / "a", validation=slice(0, 6))
    write_arrays(tmp_path / "b", validation=slice(30, 50))
    first, second = (pretrained(small, tmp_path / name) for name in ("a", "b"))
    assert first[0] == second[0]
    assert first[1]["train_images"] == second[1]["train_images"] == 60
    assert first[1]["test_accuracy"] == second[1]["test_accuracy"]

    images = np.load(tmp_path / "a" / "test" / "images.npy").astype(np.float32)
    features = np.asarray(bundled.build_bundled((16, 16, 3))(images))
    assert features.shape == (30, 3, 3, 8)
    assert np.ptp(features) > 0


def test_a_killed_pretraining_goes_on_and_no_other_one_takes_its_weights(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_arrays(tmp_path / "a")
    write_arrays(tmp_path / "b", first_id=60)
    undisturbed = pretrained(small, tmp_path / "a")
    of_other_images = pretrained(small, tmp_path / "b")
    of_other_plan = pretrained(small, tmp_path / "a", learning_rate=0.2)
    assert len({undisturbed[0], of_other_images[0], of_other_plan[0]}) == 3

    epochs: list[int] = []
    killed_after: int | None = 1

    def interrupted_fit(
        model: keras.Model, data: TrainingData, plan: FitPlan, checkpoints: Path, on_epoch: OnEpoch
    ) -> list[EpochResult]:
        def counting(result: EpochResult, images_per_second: float) -> None:
            epochs.append(result.epoch)
            if result.epoch - 1 == killed_after:
                raise KeyboardInterrupt

        return fitting.fit(model, data, plan, checkpoints, counting)

    monkeypatch.setattr(pretraining, "fit", interrupted_fit)
    shared = tmp_path / "checkpoints"
    with pytest.raises(KeyboardInterrupt):
        pretrained(small, tmp_path / "a", shared)
    (left,) = shared.glob("*/")
    killed_after = None
    assert pretrained(small, tmp_path / "b", shared) == of_other_images
    assert pretrained(small, tmp_path / "a", shared, learning_rate=0.2) == of_other_plan
    assert list(shared.glob("*/")) == [left], "those that ended took theirs with them"

    epochs.clear()
    assert pretrained(small, tmp_path / "a", shared) == undisturbed
    assert epochs == [2]
    assert list(shared.glob("*/")) == []


def test_damaged_weights_are_refused(small: Path, tmp_path: Path) -> None:
    write_arrays(tmp_path / "a")
    pretrained(small, tmp_path / "a")
    (small / "backbone.npz").write_bytes((small / "backbone.npz").read_bytes()[:-1] + b"?")
    with pytest.raises(PipelineError, match=r"backbone\.npz is damaged"):
        bundled.build_bundled((16, 16, 3))
