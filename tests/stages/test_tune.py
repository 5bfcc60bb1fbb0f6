"""The stage tune on a toy data set: trials, the final training, and kills in either."""

import csv
import math
from typing import Any

import pytest

from pipeline import tune
from pipeline.backbones import transfer
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import read_json
from pipeline.foundation.tracker import SilentTracker
from pipeline.foundation.workspace import Workspace
from pipeline.networks import from_scratch
from pipeline.training import fitting
from pipeline.training.trained_model import TrainedModel
from tests.backbones.tiny_backbone import tiny_backbone
from tests.recorded_runs import RecordingTracker
from tests.training import tiny

pytestmark = pytest.mark.usefixtures("eager")


def config(lr: float = 1e28, **changes: Any) -> tune.Config:
    """The given learning rate is none, so that the search finds a better one."""
    return tune.Config(
        seed=0,
        threads=2,
        precision="float32",
        lr=lr,
        batch_size=10,
        augmentation=tiny.augmentation(shift=0.1),
        train_baseline=tiny.baseline(network="dense", dropout=0.1, epochs=50),
        train_transfer=tiny.transfer(),
        tune=tiny.tune(**{"max_trials": 3, "trial_epochs": 1, "epochs": 2, **changes}),
    )


@pytest.fixture
def workspace(workspace: Workspace) -> Workspace:
    return tiny.workspace_with_arrays(workspace.root)


def rows(workspace: Workspace) -> list[dict[str, str]]:
    with workspace.trials.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def space_with_a_bad_end() -> dict[str, Any]:
    """One of the learning rates is not a learning rate."""
    return {"lr": {"values": [0.05, 1e30]}, "batch_size": {"values": [20]}, "width_scale": {"values": [2.0]}}


def test_what_is_written_and_shown(
    workspace: Workspace, space_with_a_bad_end: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = RecordingTracker()
    tune.run(workspace, config(space=space_with_a_bad_end), tracker)
    folder = workspace.model("tuned")
    assert set(tiny.files(folder)) == {
        "model.keras",
        "history.csv",
        "card.json",
        "trials.csv",
        "best_params.json",
        "confirmation.csv",
    }
    assert list(workspace.resume.glob("*/")) == []

    given, *others = rows(workspace)
    assert (given["lr"], given["batch_size"], given["width_scale"]) == ("1e+28", "10", "1.0")
    trials = {row["status"]: row for row in others}
    assert len(others) == 2
    assert list(trials["failed"]) == [
        "trial",
        "status",
        "epochs",
        "val_loss",
        "val_accuracy",
        "lr",
        "batch_size",
        "width_scale",
    ]
    assert (trials["failed"]["lr"], trials["failed"]["val_loss"]) == ("1e+30", "")
    assert (trials["completed"]["lr"], trials["completed"]["epochs"]) == ("0.05", "1")
    assert math.isfinite(float(trials["completed"]["val_loss"]))
    assert read_json(folder / "best_params.json") == {"lr": 0.05, "batch_size": 20, "width_scale": 2.0}

    card = TrainedModel.load(folder).card
    assert (card.candidate, card.stage, card.network) == ("tuned", "tune", "dense")
    assert card.training.epochs == 2
    assert card.hyperparameters["lr"] == 0.05
    assert card.hyperparameters["batch_size"] == 20
    assert card.hyperparameters["train_baseline"]["widths"] == [16, 16]
    assert card.hyperparameters["train_baseline"]["epochs"] == 2
    assert card.hyperparameters["augmentation"]["shift"] == 0.1

    confirmed = workspace.confirmation.read_text().splitlines()
    assert confirmed[1].startswith("found,0,0.")
    assert confirmed[2] == "given,0,,"
    assert capsys.readouterr().err == ""

    run = tracker.runs["tuned"]
    assert (run.steps, run.params) == ([1, 2], card.hyperparameters)
    nested = {f"trial-{row['trial']}": row for row in rows(workspace)}
    assert set(run.children) == {*nested, "found-0", "given-0"}
    assert (run.children["given-0"].params["lr"], run.children["given-0"].status) == (1e28, "FAILED")
    assert run.children["found-0"].steps == [1, 2]
    for name, row in nested.items():
        child = run.children[name]
        assert child.key.startswith(run.key)
        assert child.params["lr"] == float(row["lr"])
        assert child.params["epochs"] == 1
        assert child.datasets == run.datasets
        failed = row["status"] == "failed"
        assert (child.status, child.steps) == (("FAILED", []) if failed else ("FINISHED", [1]))


def test_a_given_setting_that_is_best_is_trained_once(workspace: Workspace) -> None:
    tracker = RecordingTracker()
    space = {"lr": {"values": [1e-9]}, "batch_size": {"values": [20]}}
    tune.run(workspace, config(lr=0.1, space=space, max_trials=2, epochs=3), tracker)
    assert [row["lr"] for row in rows(workspace)] == ["0.1", "1e-09"]
    assert read_json(workspace.best_hyperparameters) == {"lr": 0.1, "batch_size": 10}
    assert workspace.confirmation.read_text() == "setting,seed,val_accuracy,val_loss\n"
    run = tracker.runs["tuned"]
    assert set(run.children) == {"trial-0", "trial-1"}
    assert run.steps == [1, 2, 3]


def test_the_transfer_model_is_tuned_on_features_computed_once(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(transfer, "build_backbone", tiny_backbone)
    space = {"lr": {"values": [0.05, 0.2]}, "head_lr_scale": {"values": [0.5]}}
    settings = config(candidate="transfer", transfer_space=space, epochs=3).model_copy(
        update={"train_transfer": tiny.transfer(head_epochs=2, fine_tune_epochs=0)}
    )
    tune.run(workspace, settings, SilentTracker())
    card = TrainedModel.load(workspace.model("tuned")).card
    assert card.network == "bundled"
    assert card.hyperparameters["train_transfer"]["head_epochs"] == 3
    assert card.hyperparameters["lr"] in (0.05, 0.2)
    assert capsys.readouterr().out.count("features of") == 3, "two views and validation, for all trainings"


class Interruptions:
    """Ends the process at the n-th epoch that is trained, over all trials and the final training."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.epochs = 0
        self.at: int | None = None
        fit = fitting.fit

        def interrupted_fit(model: Any, data: Any, plan: Any, checkpoints: Any, on_epoch: Any) -> Any:
            def counting(result: Any, speed: float) -> None:
                self.epochs += 1
                on_epoch(result, speed)
                if self.epochs == self.at:
                    raise KeyboardInterrupt

            return fit(model, data, plan, checkpoints, counting)

        monkeypatch.setattr(from_scratch, "fit", interrupted_fit)


def test_killed_in_a_trial_and_in_the_final_training_it_writes_the_same_bytes(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(trial_epochs=2, max_trials=2, confirm_seeds=2)
    interruptions = Interruptions(monkeypatch)
    tune.run(workspace, settings, SilentTracker())
    undisturbed = tiny.files(workspace.model("tuned"))
    assert interruptions.epochs == 2 + 2 * 2

    tracker = RecordingTracker()
    # In the second epoch of the second trial, then in the second of either full training.
    for at in (2, 3, 3):
        interruptions.epochs, interruptions.at = 0, at
        with pytest.raises(KeyboardInterrupt):
            tune.run(workspace, settings, tracker)
    interruptions.epochs, interruptions.at = 0, None
    tune.run(workspace, settings, tracker)
    assert interruptions.epochs == 1
    assert tiny.files(workspace.model("tuned")) == undisturbed
    run = tracker.runs["tuned"]
    steps = {name: child.steps for name, child in run.children.items()}
    assert steps == {
        "trial-0": [],
        "trial-1": [1, 2, 2],
        "found-0": [1, 2, 2],
        "given-0": [],
        "found-1": [1, 2, 2],
        "given-1": [],
    }
    assert run.steps == [1, 2]
    assert list(workspace.resume.glob("*/")) == []


def test_nothing_but_diverging_trials(workspace: Workspace) -> None:
    space = {"lr": {"values": [1e29, 1e30]}, "batch_size": {"values": [20]}}
    with pytest.raises(PipelineError, match="None of 3 trials ended with a finite loss"):
        tune.run(workspace, config(lr=1e28, space=space), SilentTracker())
    assert not workspace.model("tuned").exists()
    assert list(workspace.resume.glob("*/")) == []


@pytest.mark.parametrize("method", ["bayesian", "hyperband"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_other_methods(method: str, workspace: Workspace) -> None:
    tune.run(workspace, config(method=method, trial_epochs=2), SilentTracker())
    assert len(rows(workspace)) == 3
    assert all(row["horizontal_flip"] in ("True", "False") for row in rows(workspace))
