"""The stage train_transfer on a toy data set, with a backbone of a few layers."""

import csv
from pathlib import Path
from typing import Any

import keras
import pytest

from pipeline import train_transfer
from pipeline.backbones import transfer as transfer_networks
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.tracker import SilentTracker
from pipeline.foundation.workspace import Workspace
from pipeline.training.trained_model import TrainedModel
from tests.backbones.tiny_backbone import tiny_backbone
from tests.recorded_runs import RecordingTracker
from tests.training import tiny

pytestmark = pytest.mark.usefixtures("eager")


def config(**changes: Any) -> train_transfer.Config:
    return train_transfer.Config(
        seed=0,
        threads=2,
        precision="float32",
        lr=0.05,
        batch_size=20,
        augmentation=tiny.augmentation(),
        train_transfer=tiny.transfer(**changes),
    )


@pytest.fixture
def workspace(workspace: Workspace) -> Workspace:
    return tiny.workspace_with_arrays(workspace.root)


def test_what_is_written_and_shown(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer_networks, "build_backbone", tiny_backbone)
    tracker = RecordingTracker()
    settings = config(head_epochs=1, fine_tune_epochs=2, unfreeze_from="conv2")
    train_transfer.run(workspace, settings, tracker)
    folder = workspace.model("transfer")
    assert set(tiny.files(folder)) == {"model.keras", "history.csv", "card.json"}
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["phase"], row["epoch"]) for row in rows] == [
        ("head", "1"),
        ("fine_tune", "2"),
        ("fine_tune", "3"),
    ]
    model = TrainedModel.load(folder)
    card = model.card
    assert (card.candidate, card.stage, card.network) == ("transfer", "train_transfer", "bundled")
    trainable = {layer.name: layer.trainable for layer in card.layers if layer.parameters}
    assert trainable == {
        "tiny/whitening": False,
        "tiny/conv1": False,
        "tiny/norm1": False,
        "tiny/conv2": True,
        "tiny/norm2": True,
        "feature_scaling": False,
        "head1": True,
        "head1_norm": True,
        "classifier": True,
    }
    assert card.hyperparameters == settings.model_dump(mode="json")
    run = tracker.runs["transfer"]
    assert (run.steps, run.params) == ([1, 2, 3], card.hyperparameters)


def test_the_path_of_weights_begins_in_the_project_also_in_a_temporary_experiment(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked_for: list[tuple[str, str, Path]] = []

    def spied(name: str, shape: tuple[int, int, int], weights: str, weights_base: Path) -> keras.Model:
        asked_for.append((name, weights, weights_base))
        return tiny_backbone(name, shape, weights, weights_base)

    monkeypatch.setattr(transfer_networks, "build_backbone", spied)
    temporary = Workspace(root=workspace.root, home=tmp_path / "project")
    settings = config(backbone="VGG16", weights="own.weights.h5", head_epochs=1, fine_tune_epochs=0)
    train_transfer.run(temporary, settings, SilentTracker())
    assert set(asked_for) == {("VGG16", "own.weights.h5", tmp_path / "project")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "ResNet500"}, "no backbone 'ResNet500'"),
        ({"backbone": "VGG16", "weights": "nowhere.h5"}, "weights of VGG16 are missing"),
    ],
)
def test_params_that_cannot_be_met_leave_nothing(
    changes: dict[str, Any], message: str, workspace: Workspace
) -> None:
    with pytest.raises(PipelineError, match=message):
        train_transfer.run(workspace, config(**changes), SilentTracker())
    assert not workspace.model("transfer").exists()
    assert list(workspace.resume.glob("*/")) == []


def test_an_unknown_layer_is_found_out_before_anything_is_trained(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer_networks, "build_backbone", tiny_backbone)
    tracker = RecordingTracker()
    with pytest.raises(PipelineError, match="tiny has no layer 'conv3'"):
        train_transfer.run(workspace, config(unfreeze_from="conv3"), tracker)
    assert tracker.runs["transfer"].steps == []
