"""Trainings as MLflow has them, read back."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import pytest

from pipeline.repository.stage_graph import read_stage_graph
from pipeline.tracking import tags
from pipeline.tracking.runs import trainings as runs
from pipeline.tracking.runs.trainings import TrainingRun, read_trainings
from pipeline.tracking.store import Store, StoreUnavailableError
from tests.tracking.conftest import EXPERIMENT
from tests.tracking.made_runs import COMMIT, changed, link_model, make_parent, make_training

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

ReadTraining = Callable[[str], TrainingRun]


@pytest.fixture(scope="module")
def read(store: Store, project: Path) -> ReadTraining:
    """Reads one training, by its id."""
    graph = read_stage_graph(project / "dvc.yaml")

    def one(run_id: str) -> TrainingRun:
        (found,) = (run for run in read_trainings(store, EXPERIMENT, graph) if run.run_id == run_id)
        return found

    return one


def test_a_training_of_an_experiment(store: Store, read: ReadTraining) -> None:
    """What a search has found stands in `params`, what it was told to start from in `declared`."""
    whole = {
        "seed": "3",
        "fetch.dataset": "digits",
        "train_baseline.dropout": "0.0",
        "train_transfer.dropout": "0.2",
        "tune.max_trials": "6",
    }
    parent = make_parent(store, "ruddy-gybe", {**whole, "report.title": "T", "evaluate.top_k": "3"})
    run_id = make_training(
        store,
        candidate="tuned",
        stage="tune",
        parent=parent,
        params={"seed": "3", "lr": "0.07", "train_baseline.dropout": "0.3"},
        metrics={"test_accuracy": 0.9, "test_accuracy_low": 0.85, "test_accuracy_high": 0.94},
        more_tags={
            tags.DVC_EXPERIMENT: "ruddy-gybe",
            tags.DVC_COMMIT: "c" * 40,
            tags.MODEL_DIGEST: "d1",
            **changed("params.yaml"),
        },
    )
    model = link_model(store, run_id)
    before = datetime.now(UTC)
    run = read(run_id)
    assert run.declared == whole
    assert run.params == {**whole, "lr": "0.07", "train_baseline.dropout": "0.3"}
    assert (run.candidate, run.network, run.stage) == ("tuned", "fast_cnn", "tune")
    assert (run.experiment, run.commit, run.git_commit) == ("ruddy-gybe", "c" * 40, COMMIT)
    assert not run.dirty  # its own commit holds the changes
    assert (run.test_accuracy, run.interval("test_accuracy")) == (0.9, (0.85, 0.94))
    assert run.interval("validation_accuracy") is None
    assert (run.model, run.model_digest) == (f"models:/{model}", "d1")
    assert run.page == f"#/experiments/{store.experiment_id(EXPERIMENT)}/runs/{run_id}"
    assert (run.finished, run.restored) == (True, False)
    assert abs((before - run.started).total_seconds()) < 60


def test_without_its_parent_it_is_not_known_what_a_training_was_told(
    store: Store, read: ReadTraining
) -> None:
    run = read(make_training(store, params={"lr": "0.1"}))
    assert run.declared is None
    assert run.params == {"lr": "0.1"}
    assert (run.experiment, run.commit, run.dirty, run.model) == ("", COMMIT, False, "")


@pytest.mark.parametrize(
    ("values", "changes", "dirty"),
    [
        ({}, (), False),
        (changed("params.yaml", "pipeline/tune.py"), ("params.yaml", "pipeline/tune.py"), True),
        ({tags.GIT_DIRTY: "true"}, None, True),
        ({tags.GIT_DIRTY: "unknown"}, None, True),
    ],
)
def test_what_differed_from_the_commit(
    store: Store,
    read: ReadTraining,
    values: dict[str, str],
    changes: tuple[str, ...] | None,
    dirty: bool,
) -> None:
    run = read(make_training(store, more_tags=values))
    assert (run.changes, run.dirty) == (changes, dirty)


@pytest.mark.parametrize(
    ("metrics", "patience", "status", "expected"),
    [
        ({"validation_accuracy": 0.8, "val_accuracy": 0.7}, "null", "FINISHED", 0.8),
        ({"val_accuracy": 0.7}, "null", "FINISHED", 0.7),
        ({"val_accuracy": 0.7}, "5", "FINISHED", None),  # which epoch's weights it kept is not in MLflow
        ({"val_accuracy": 0.7}, "null", "KILLED", None),
        ({}, "null", "FINISHED", None),
    ],
)
def test_validation_accuracy_before_evaluation(
    store: Store,
    read: ReadTraining,
    metrics: dict[str, float],
    patience: str,
    status: str,
    expected: float | None,
) -> None:
    params = {"train_baseline.early_stopping_patience": patience}
    assert (
        read(make_training(store, params=params, metrics=metrics, status=status)).validation_accuracy
        == expected
    )


def test_only_trainings_are_read_page_by_page_the_latest_first(
    store: Store, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (tags.KIND_TRIAL, tags.KIND_EVALUATION, tags.KIND_SEEDS):
        make_training(store, candidate="other", more_tags={tags.KIND: kind})
    first, second, third = (make_training(store, candidate="paged", status="RUNNING") for _ in range(3))
    monkeypatch.setattr(runs, "_PAGE", 2)
    found = read_trainings(store, EXPERIMENT, {})
    assert [run.run_id for run in found if run.candidate == "paged"] == [third, second, first]
    assert "other" not in {run.candidate for run in found}
    assert len({run.run_id for run in found}) == len(found)


def test_a_store_that_fails_is_said_to_be_unavailable(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> NoReturn:
        raise ConnectionError("no route")

    monkeypatch.setattr(store.client, "search_runs", fail)
    with pytest.raises(StoreUnavailableError, match="no route"):
        read_trainings(store, EXPERIMENT, {})
