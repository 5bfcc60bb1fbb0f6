"""Runs of what DVC took from its run cache: as if the stages had been executed, and said not to have been."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import classification_report

from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.recording.restoring import Restored, restore
from pipeline.repository.repository import Repository
from pipeline.tracking import tags
from pipeline.tracking.journal.delivery import deliver
from pipeline.tracking.journal.journal import pending_journals
from pipeline.tracking.provenance import origin
from pipeline.tracking.runs.matching import MissingRun
from pipeline.tracking.store import Store
from tests.tracking.made_outputs import (
    BASELINE,
    CLASSES,
    COMMIT,
    TEST_LABELS,
    model_digest,
    outputs_of,
)

EXPERIMENT = "tests"
Restore = Callable[..., tuple[Restored, dict[str, Any], Any]]
ALL = ("train_baseline", "train_transfer", "tune", "evaluate")

# MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


@pytest.fixture(scope="module")
def shared_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One workspace, with one store, for all tests: making a store takes seconds."""
    folder = tmp_path_factory.mktemp("project")
    return Workspace(root=folder, home=folder)


@pytest.fixture(scope="module")
def store(shared_workspace: Workspace) -> Iterator[Store]:
    with Store(shared_workspace) as opened:
        yield opened


@pytest.fixture
def restored(shared_workspace: Workspace, store: Store) -> Restore:
    """Restores runs and delivers them; returns what was done, the runs by name and their parent."""

    def restore_and_deliver(
        name: str,
        stages: Sequence[str] = ALL,
        missing: Sequence[MissingRun] = (),
        **differences: Any,
    ) -> tuple[Restored, dict[str, Any], Any]:
        outputs = outputs_of(shared_workspace, experiment=name, **differences)
        wanted = missing or [MissingRun(stage, None) for stage in stages]
        done = restore(outputs, wanted, EXPERIMENT, Repository(shared_workspace.root))
        if done.journal is not None:
            assert deliver(done.journal, store)
        found = store.find_runs(EXPERIMENT, {tags.DVC_EXPERIMENT: name})
        parent = [run for run in found if run.data.tags[tags.KIND] == tags.KIND_EXPERIMENT]
        runs = {run.info.run_name: run for run in found if run not in parent}
        assert len(runs) + len(parent) == len(found)
        return done, runs, parent[0] if parent else None

    return restore_and_deliver


def artifacts(store: Store, run_id: str, folder: str = "") -> set[str]:
    return {item.path for item in store.client.list_artifacts(run_id, folder or None) if not item.is_dir}


def test_a_training_has_all_that_the_stage_would_have_recorded(
    restored: Restore, store: Store, shared_workspace: Workspace
) -> None:
    _, runs, parent = restored("whole")
    run = runs["tuned"]
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "0", "lr": "0.1", "network.of": "tuned"}
    curve = store.client.get_metric_history(run.info.run_id, "val_accuracy")
    assert [(point.step, point.value) for point in curve] == [(1, 0.5), (2, 0.75)]
    assert run.data.metrics["learning_rate"] == 0.02
    assert run.data.metrics["parameters"] == 1000
    assert run.data.metrics["forward_macs"] == 5000
    assert (run.data.metrics["validation_accuracy"], run.data.metrics["test_ece"]) == (0.75, 0.125)
    assert artifacts(store, run.info.run_id) == {"history.csv", "card.json", "trials.csv"}
    evaluation = artifacts(store, run.info.run_id, "evaluation")
    assert evaluation == {
        "evaluation/confusion_matrix_tuned.png",
        "evaluation/heatmaps_tuned.png",
        "evaluation/confusion_matrix.csv",
        "evaluation/classification_report.txt",
    }
    (dataset,) = run.inputs.dataset_inputs
    assert json.loads(dataset.dataset.profile) == {"train": 8, "validation": 4}
    (output,) = run.outputs.model_outputs
    model: Any = store.client.get_logged_model(output.model_id)
    assert model.tags[tags.MODEL_DIGEST] == model_digest("tuned", 1)
    assert {metric.key: metric.value for metric in model.metrics}["test_accuracy"] == 0.5
    assert run.data.tags[tags.NESTED_IN] == parent.info.run_id


def test_the_figures_of_the_predictions_are_right(restored: Restore, store: Store, tmp_path: Path) -> None:
    _, runs, _ = restored("figures", ["train_baseline"])
    folder = Path(store.client.download_artifacts(runs["baseline"].info.run_id, "evaluation", str(tmp_path)))
    table = (folder / "confusion_matrix.csv").read_text().splitlines()
    assert table == ["actual \\ predicted,cat,dog", "cat,1,1", "dog,1,1"]
    expected = classification_report(TEST_LABELS, [0, 1, 0, 1], target_names=CLASSES, digits=4)
    assert (folder / "classification_report.txt").read_text() == expected


def test_it_says_that_nothing_was_executed(restored: Restore, shared_workspace: Workspace) -> None:
    _, runs, parent = restored("honest")
    for run in runs.values():
        known = run.data.tags
        assert known[tags.RESTORED] == "true"
        assert "duration_seconds" not in run.data.metrics
        # When DVC put the results there, and not how long anything took.
        assert run.info.start_time == run.info.end_time == 1_700_000_000_000
        assert (known[tags.GIT_COMMIT], known[tags.DVC_COMMIT]) == (COMMIT, COMMIT)
        assert (known[tags.DVC_BASELINE], known[tags.ORIGIN]) == (BASELINE, origin(shared_workspace.home))
        executed_only = {tags.PROCESSOR, tags.PYTHON, tags.TENSORFLOW, tags.ENVIRONMENT_DIGEST}
        assert not executed_only & set(known)
    assert parent.info.start_time == parent.info.end_time
    assert runs["baseline"].data.tags[tags.DVC_HASH] == "baseline-1.dir"
    assert json.loads(runs["baseline"].data.tags[tags.DATA_SOURCE])["fingerprint"] == "f1"


def test_it_is_linked_to_the_run_that_made_it_once(restored: Restore) -> None:
    missing = [MissingRun("evaluate", "a" * 32), MissingRun("tune", None)]
    _, runs, _ = restored("linked", missing=missing)
    assert runs["evaluate"].data.tags[tags.RESTORED_FROM] == "a" * 32
    assert tags.RESTORED_FROM not in runs["tuned"].data.tags


def test_an_evaluation_has_the_scores_of_all_candidates_and_gives_the_best_to_the_parent(
    restored: Restore, store: Store
) -> None:
    _, runs, parent = restored("evaluated", ["evaluate"])
    run = runs["evaluate"]
    assert run.data.params == {"seed": "0", "evaluate.top_k": "1"}
    assert {f"{name}/test_accuracy" for name in CANDIDATES} <= set(run.data.metrics)
    assert run.data.tags[tags.KIND] == tags.KIND_EVALUATION
    assert run.data.tags[f"{tags.MODEL_DIGEST}.tuned"] == model_digest("tuned", 1)
    pictures = {
        f"evaluation/{what}_{name}.png" for name in CANDIDATES for what in ("confusion_matrix", "heatmaps")
    }
    assert artifacts(store, run.info.run_id, "evaluation") == pictures
    assert artifacts(store, run.info.run_id) == {
        "evaluate.json",
        "per_class.csv",
        "comparisons.json",
        "references.json",
    }
    assert parent.data.metrics["test_accuracy"] == 0.5
    assert parent.data.tags[tags.BEST_CANDIDATE] == "transfer"
    assert parent.data.tags[tags.BEST_MODEL_DIGEST] == model_digest("transfer", 1)


def test_restored_twice_it_is_there_once(restored: Restore, store: Store) -> None:
    _, first, _ = restored("twice")
    _, second, _ = restored("twice")
    assert {run.info.run_id for run in first.values()} == {run.info.run_id for run in second.values()}
    curve = store.client.get_metric_history(second["baseline"].info.run_id, "loss")
    assert [point.step for point in curve] == [1, 2]


def test_what_somebody_has_deleted_does_not_come_back(restored: Restore, store: Store) -> None:
    _, runs, _ = restored("unwanted", ["tune"])
    store.client.delete_run(runs["tuned"].info.run_id)
    _, runs, _ = restored("unwanted", ["tune"])
    assert runs == {}


@pytest.mark.parametrize("missing", ["model.keras", "history.csv", "card.json"])
def test_a_model_that_dvc_has_no_more_is_passed_over(restored: Restore, missing: str) -> None:
    gone = [f"models/baseline/{missing}"]
    done, runs, _ = restored(f"gone {missing}", gone=gone, stages=("train_baseline", "train_transfer"))
    assert (done.runs, done.failed) == (1, ("baseline",))
    assert set(runs) == {"transfer"}


def test_where_all_is_gone_nothing_is_left_behind(restored: Restore, shared_workspace: Workspace) -> None:
    done, runs, parent = restored("all gone", gone=[""])
    assert done == Restored(None, 0, ("baseline", "transfer", "tuned", "evaluate"))
    assert (runs, parent) == ({}, None)
    assert pending_journals(shared_workspace.journal) == []


def test_without_predictions_there_are_scores_but_no_pictures(restored: Restore, store: Store) -> None:
    _, runs, _ = restored("no predictions", gone=["metrics/predictions"])
    assert runs["baseline"].data.metrics["test_accuracy"] == 0.5
    assert artifacts(store, runs["baseline"].info.run_id, "evaluation") == set()


def test_without_the_images_of_the_test_subset_there_are_no_heatmaps(restored: Restore, store: Store) -> None:
    _, runs, _ = restored("no images", gone=["data/arrays"])
    assert tags.DATA_DIGEST not in runs["evaluate"].data.tags
    evaluation = artifacts(store, runs["baseline"].info.run_id, "evaluation")
    assert evaluation == {
        "evaluation/confusion_matrix_baseline.png",
        "evaluation/confusion_matrix.csv",
        "evaluation/classification_report.txt",
    }


def test_a_failure_on_the_way_leaves_no_half_of_it(
    shared_workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.recording.finished_evaluation.FinishedEvaluation.record", _fail)
    wanted = [MissingRun(stage, None) for stage in ALL]
    with pytest.raises(OSError, match="full"):
        restore(
            outputs_of(shared_workspace, experiment="half"),
            wanted,
            EXPERIMENT,
            Repository(shared_workspace.root),
        )
    assert pending_journals(shared_workspace.journal) == []
    assert not [path for path in shared_workspace.journal.iterdir() if path.is_dir()]


def _fail(*arguments: object) -> None:
    raise OSError("the disk is full")
