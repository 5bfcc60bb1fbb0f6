"""The stage train_baseline on a toy data set."""

from typing import Any

import pytest

from pipeline import train_baseline
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import read_json
from pipeline.foundation.tracker import SilentTracker
from pipeline.foundation.workspace import Workspace
from pipeline.training.data import TrainingData
from pipeline.training.trained_model import TrainedModel
from tests.recorded_runs import RecordingTracker
from tests.training import tiny

pytestmark = pytest.mark.usefixtures("eager")


def config(lr: float = 0.05, **changes: Any) -> train_baseline.Config:
    return train_baseline.Config(
        seed=0,
        threads=2,
        precision="float32",
        lr=lr,
        batch_size=20,
        augmentation=tiny.augmentation(shift=0.1),
        train_baseline=tiny.baseline(**changes),
    )


@pytest.fixture
def workspace(workspace: Workspace) -> Workspace:
    return tiny.workspace_with_arrays(workspace.root)


class KilledAfter(RecordingTracker):
    """The process ends when the metrics of an epoch arrive."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self._epoch = epoch

    def run(self, name: str, key: str) -> Any:
        run = super().run(name, key)
        record = run.log_metrics

        def log_metrics(metrics: Any, step: int | None = None) -> None:
            record(metrics, step)
            if step == self._epoch:
                raise KeyboardInterrupt

        run.log_metrics = log_metrics  # type: ignore[method-assign]
        return run


def test_what_is_written_and_shown(workspace: Workspace) -> None:
    tracker = RecordingTracker()
    train_baseline.run(workspace, config(epochs=3), tracker)
    folder = workspace.model("baseline")
    assert set(tiny.files(folder)) == {"model.keras", "history.csv", "card.json"}
    assert list(workspace.resume.glob("*/")) == []

    model = TrainedModel.load(folder)
    data = TrainingData.load(workspace.arrays)
    assert model.predict(data.validation.images, 500).shape == (15, 3)
    card = model.card
    assert (card.candidate, card.stage, card.network) == ("baseline", "train_baseline", "dense")
    assert card.hyperparameters == config(epochs=3).model_dump(mode="json")
    assert card.data_digest == data.digest

    assert list(tracker.runs) == ["baseline"]
    run = tracker.runs["baseline"]
    assert run.params == card.hyperparameters
    assert run.datasets == [("arrays", data.digest, {"train": 40, "validation": 15})]
    assert run.steps == [1, 2, 3]
    for _, metrics in run.epochs:
        assert set(metrics) == {
            "loss",
            "accuracy",
            "val_loss",
            "val_accuracy",
            "learning_rate",
            "images_per_second",
        }


def test_killed_and_run_again_it_writes_the_same_bytes_in_the_same_run(workspace: Workspace) -> None:
    settings = config(network="small_cnn", dropout=0.2, epochs=3)
    train_baseline.run(workspace, settings, SilentTracker())
    undisturbed = tiny.files(workspace.model("baseline"))
    tracker = KilledAfter(2)
    with pytest.raises(KeyboardInterrupt):
        train_baseline.run(workspace, settings, tracker)
    assert len(list(workspace.resume.glob("*/"))) == 1
    del tracker.runs["baseline"].log_metrics
    survivor = RecordingTracker(tracker.runs)
    train_baseline.run(workspace, settings, survivor)
    assert tiny.files(workspace.model("baseline")) == undisturbed
    assert survivor.runs["baseline"].steps == [1, 2, 2, 3]


def test_mixed_precision_gives_a_model_in_float32(workspace: Workspace) -> None:
    settings = config(network="small_cnn", epochs=1).model_copy(update={"precision": "mixed_bfloat16"})
    train_baseline.run(workspace, settings, SilentTracker())
    model = TrainedModel.load(workspace.model("baseline"))
    assert {layer.compute_dtype for layer in model.network.layers} <= {"float32", "uint8"}


def test_a_loss_that_is_not_finite_is_one_message_and_leaves_nothing(workspace: Workspace) -> None:
    with pytest.raises(PipelineError, match="is no longer finite"):
        train_baseline.run(workspace, config(lr=1e30, schedule="constant"), SilentTracker())
    assert not workspace.model("baseline").exists()
    assert list(workspace.resume.glob("*/")) == []


def test_missing_arrays(workspace: Workspace) -> None:
    workspace.statistics.unlink()
    with pytest.raises(PipelineError, match=r"statistics\.json is missing"):
        train_baseline.run(workspace, config(), SilentTracker())


def test_images_that_are_too_small_leave_nothing(workspace: Workspace) -> None:
    with pytest.raises(PipelineError, match="16x16 pixels are too small for 5 blocks"):
        train_baseline.run(workspace, config(network="small_cnn", widths=(8,) * 5), SilentTracker())
    assert not workspace.model("baseline").exists()


def test_the_test_subset_is_never_read(workspace: Workspace) -> None:
    assert not workspace.subset("test").exists()
    train_baseline.run(workspace, config(epochs=1), SilentTracker())
    assert read_json(workspace.card("baseline"))["training"]["train_images"] == 40
