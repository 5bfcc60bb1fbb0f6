"""Trainings that differ in nothing but their seed."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from mlflow.entities import Run

from pipeline.repository.repository import Repository
from pipeline.repository.stage_graph import Decisive
from pipeline.tracking import tags
from pipeline.tracking.runs.seed_groups import (
    SeedGroup,
    Spread,
    group_by_seed,
    pooled_deviation,
    record_seeds,
)
from pipeline.tracking.runs.trainings import TrainingRun
from pipeline.tracking.store import Store, StoreUnavailableError
from tests.tracking.conftest import EXPERIMENT
from tests.tracking.made_runs import COMMIT, training_run

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

GRAPH = {"train_baseline": Decisive(params=("seed", "lr"), code=("pipeline/training",))}

GroupRuns = Callable[..., list[SeedGroup]]


@pytest.fixture
def groups(tmp_path: Path) -> GroupRuns:
    """Groups of runs whose commits are not in any repository here."""
    return lambda *runs: group_by_seed(runs, GRAPH, Repository(tmp_path))


def test_mean_and_deviation_over_seeds(groups: GroupRuns) -> None:
    runs = [
        training_run(seed=seed, metrics={"validation_accuracy": validation, "test_accuracy": test})
        for seed, validation, test in [(2, 0.95, 0.92), (0, 0.90, 0.86), (1, 0.94, 0.92)]
    ]
    (group,) = groups(*runs)
    assert group.seeds == (0, 1, 2)
    assert [run.run_id for run in group.runs] == [runs[1].run_id, runs[2].run_id, runs[0].run_id]
    assert "seed" not in group.params
    assert group.params["lr"] == "0.1"
    # By hand: mean 0.90, deviations -0.04, 0.02, 0.02; their squares sum to 0.0024, over n - 1 = 2.
    test = group.spread("test")
    assert test is not None
    assert (test.count, test.lowest, test.highest) == (3, 0.86, 0.92)
    assert test.mean == pytest.approx(0.90)
    assert test.deviation == pytest.approx(0.0012**0.5)
    validation = group.spread("validation")
    assert validation is not None
    assert validation.mean == pytest.approx(0.93)


@pytest.mark.parametrize(
    "difference",
    [
        {"candidate": "transfer"},
        {"data_digest": "other"},
        {"lr": 0.2},
        {"git_commit": "b" * 40},
        {"status": "KILLED"},
        {"declared": None},
        {"changes": ("pipeline/training/fitting.py",)},
        {"changes": None},
        {"stage": "unknown"},
        {"git_commit": ""},
    ],
)
def test_runs_that_differ_in_more_are_not_put_together(groups: GroupRuns, difference: dict[str, Any]) -> None:
    assert groups(training_run(seed=0), training_run(seed=1, **difference)) == []


@pytest.mark.parametrize(
    "difference",
    [
        {"experiment": "ruddy-gybe"},
        {"network": "renamed"},
        {"restored": True},
        {"changes": ("params.yaml", "README.md", "pipeline/tracking/runs.py")},
    ],
)
def test_what_decides_nothing_may_differ(groups: GroupRuns, difference: dict[str, Any]) -> None:
    (group,) = groups(training_run(seed=0), training_run(seed=1, **difference))
    assert group.seeds == (0, 1)


def test_what_a_search_has_found_may_differ(groups: GroupRuns) -> None:
    """Every seed finds another learning rate; what it was told to search is the same."""
    first, second = training_run(seed=0), training_run(seed=1)
    found = [replace(run, params={**run.params, "lr": lr}) for run, lr in ((first, "0.07"), (second, "0.3"))]
    (group,) = groups(*found)
    assert group.params["lr"] == "0.1"


def test_one_seed_counts_once_and_rather_with_a_test_score(groups: GroupRuns) -> None:
    trained = training_run(seed=1, metrics={"validation_accuracy": 0.5})
    evaluated = training_run(seed=1)
    (group,) = groups(trained, training_run(seed=0), evaluated)
    assert [run.run_id for run in group.runs][1] == evaluated.run_id
    assert groups(trained, evaluated) == []


def test_a_score_of_one_run_alone_has_no_spread(groups: GroupRuns) -> None:
    trained = training_run(seed=1, metrics={"validation_accuracy": 0.5})
    (group,) = groups(training_run(seed=0), trained)
    assert group.spread("test") is None
    validation = group.spread("validation")
    assert validation is not None
    assert validation.count == 2


def test_commits_with_the_same_code_count_as_one(tmp_path: Path) -> None:
    """git tells: the second commit changes a text beside the code, the third one the code."""

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=T", "-c", "user.email=t@example.com"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet")
    commits = []
    for code, text in (("1", "a"), ("1", "b"), ("2", "b")):
        (tmp_path / "pipeline" / "training").mkdir(parents=True, exist_ok=True)
        (tmp_path / "pipeline" / "training" / "code.py").write_text(code)
        (tmp_path / "README.md").write_text(text)
        git("add", "--all")
        git("commit", "--quiet", "--message", "x")
        commits.append(git("rev-parse", "HEAD"))
    runs = [training_run(seed=seed, git_commit=commit) for seed, commit in enumerate(commits)]
    (group,) = group_by_seed(runs, GRAPH, Repository(tmp_path))
    assert group.seeds == (0, 1)
    # An experiment's own commit has the code that was not committed when it began.
    own = training_run(
        seed=5, git_commit=commits[0], dvc_commit=commits[2], changes=("pipeline/training/code.py",)
    )
    (group,) = group_by_seed([runs[2], own], GRAPH, Repository(tmp_path))
    assert group.seeds == (2, 5)


def test_the_pooled_deviation_weights_by_degrees_of_freedom() -> None:
    spreads = [Spread(3, 0.9, 0.02, 0.88, 0.92), Spread(5, 0.5, 0.01, 0.49, 0.52)]
    pooled = pooled_deviation(spreads)
    assert pooled is not None
    assert (pooled.degrees_of_freedom, pooled.groups) == (6, 2)
    assert pooled.deviation == pytest.approx(((2 * 0.0004 + 4 * 0.0001) / 6) ** 0.5)
    assert pooled_deviation([]) is None


def test_a_group_has_one_run_in_mlflow_that_grows_with_it(groups: GroupRuns, store: Store) -> None:
    runs = [
        training_run(seed=seed, metrics={"validation_accuracy": 0.9, "test_accuracy": accuracy})
        for seed, accuracy in enumerate((0.8, 0.9, 0.7))
    ]

    def recorded(*members: TrainingRun) -> Run:
        record_seeds(store, EXPERIMENT, groups(*members))
        (run,) = store.find_runs(EXPERIMENT, {tags.KIND: tags.KIND_SEEDS})
        return run

    run = recorded(*runs[:2])
    assert (run.info.run_name, run.info.status) == ("baseline over seeds", "FINISHED")
    assert run.data.metrics["seeds"] == 2
    assert run.data.metrics["test_accuracy_mean"] == pytest.approx(0.85)
    assert run.data.metrics["test_accuracy_std"] == pytest.approx(0.005**0.5)
    assert run.data.metrics["validation_accuracy_std"] == 0
    assert run.data.params == {"lr": "0.1", "batch_size": "128", "train_baseline.network": "fast_cnn"}
    assert run.data.tags[tags.CANDIDATE] == "baseline"
    assert json.loads(run.data.tags[tags.SEED_RUNS]) == [each.run_id for each in runs[:2]]

    grown = recorded(*runs)
    assert grown.info.run_id == run.info.run_id
    assert json.loads(grown.data.tags[tags.SEEDS]) == [0, 1, 2]
    assert grown.data.metrics["test_accuracy_mean"] == pytest.approx(0.8)

    recorded(*runs)
    history = store.client.get_metric_history(run.info.run_id, "seeds")
    assert [point.value for point in history] == [2, 3]  # and nothing for the call without news


def test_a_store_that_fails_while_it_is_recorded(
    groups: GroupRuns, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> NoReturn:
        raise ConnectionError("no route")

    monkeypatch.setattr(store.client, "log_batch", fail)
    with pytest.raises(StoreUnavailableError, match="no route"):
        record_seeds(store, EXPERIMENT, groups(training_run(seed=7), training_run(seed=8, lr=0.1)))


def test_commits_that_are_not_here_are_told_apart_by_their_names(
    groups: GroupRuns,
) -> None:
    assert groups(training_run(seed=0, git_commit=COMMIT), training_run(seed=1, dvc_commit="e" * 40)) == []
