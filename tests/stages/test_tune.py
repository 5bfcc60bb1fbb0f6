"""The stage tune on a toy data set: trials, the final training, and kills in either."""

import csv
import math
from typing import Any

import pytest

from pipeline import tune
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import read_json
from pipeline.foundation.tracker import SilentTracker
from pipeline.foundation.workspace import Workspace
from pipeline.networks import from_scratch
from pipeline.training import fitting
from pipeline.training.trained_model import TrainedModel
from tests.recorded_runs import RecordingTracker
from tests.training import tiny

pytestmark = pytest.mark.usefixtures("eager")


def config(**changes: Any) -> tune.Config:
    return tune.Config(
        seed=0,
        threads=2,
        precision="float32",
        augmentation=tiny.augmentation(shift=0.1),
        train_baseline=tiny.baseline(network="dense", dropout=0.1, epochs=50),
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


def test_what_is_written_and_shown(workspace: Workspace, space_with_a_bad_end: dict[str, Any]) -> None:
    tracker = RecordingTracker()
    tune.run(workspace, config(space=space_with_a_bad_end), tracker)
    folder = workspace.model("tuned")
    assert set(tiny.files(folder)) == {
        "model.keras",
        "history.csv",
        "card.json",
        "trials.csv",
        "best_params.json",
    }
    assert list(workspace.resume.glob("*/")) == []

    trials = {row["status"]: row for row in rows(workspace)}
    assert len(rows(workspace)) == 2
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

    run = tracker.runs["tuned"]
    assert (run.steps, run.params) == ([1, 2], card.hyperparameters)
    nested = {f"trial-{row['trial']}": row for row in rows(workspace)}
    assert set(run.children) == set(nested)
    for name, row in nested.items():
        child = run.children[name]
        assert child.key.startswith(run.key)
        assert child.params["lr"] == float(row["lr"])
        assert child.params["epochs"] == 1
        assert child.datasets == run.datasets
        failed = row["status"] == "failed"
        assert (child.status, child.steps) == (("FAILED", []) if failed else ("FINISHED", [1]))


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
    settings = config(trial_epochs=2, max_trials=2)
    interruptions = Interruptions(monkeypatch)
    tune.run(workspace, settings, SilentTracker())
    undisturbed = tiny.files(workspace.model("tuned"))
    assert interruptions.epochs == 2 * 2 + 2

    tracker = RecordingTracker()
    # In the second epoch of the second trial, then in the second of the final training.
    for at in (4, 3):
        interruptions.epochs, interruptions.at = 0, at
        with pytest.raises(KeyboardInterrupt):
            tune.run(workspace, settings, tracker)
    interruptions.epochs, interruptions.at = 0, None
    tune.run(workspace, settings, tracker)
    assert interruptions.epochs == 1
    assert tiny.files(workspace.model("tuned")) == undisturbed
    run = tracker.runs["tuned"]
    assert [child.steps for child in run.children.values()] == [[1, 2], [1, 2, 2]]
    assert run.steps == [1, 2, 2]
    assert list(workspace.resume.glob("*/")) == []


def test_nothing_but_diverging_trials(workspace: Workspace) -> None:
    space = {"lr": {"values": [1e29, 1e30]}, "batch_size": {"values": [20]}}
    with pytest.raises(PipelineError, match="None of 2 trials ended with a finite loss"):
        tune.run(workspace, config(space=space), SilentTracker())
    assert not workspace.model("tuned").exists()
    assert list(workspace.resume.glob("*/")) == []


@pytest.mark.parametrize("method", ["bayesian", "hyperband"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_other_methods(method: str, workspace: Workspace) -> None:
    tune.run(workspace, config(method=method, trial_epochs=2), SilentTracker())
    assert len(rows(workspace)) == (3 if method == "bayesian" else 2)
    assert all(row["horizontal_flip"] in ("True", "False") for row in rows(workspace))
