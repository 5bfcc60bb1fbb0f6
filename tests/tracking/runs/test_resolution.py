"""Which runs stand for which results: what is tagged with what, and what is left alone."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.repository.repository import Lock
from pipeline.repository.stage_outputs import TRAININGS, Results, flat_scores
from pipeline.tracking import tags
from pipeline.tracking.journal.parents import Parents, parent_run
from pipeline.tracking.run_params import as_text
from pipeline.tracking.runs.resolution import Resolution, Resolver
from pipeline.tracking.store import Store
from tests.tracking.conftest import EXPERIMENT
from tests.tracking.made_results import (
    BASELINE,
    COMMIT,
    PARAMS,
    SCORES,
    files_of,
    hyperparameters_of,
    lock_of,
    model_digest,
    results_of,
)

# MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

ORIGIN = "this folder"
LATER = "e" * 40
"""A commit after BASELINE whose dvc.lock says what the first generation made."""
OTHER_PARAMS = {**PARAMS, "lr": 0.2}


@pytest.fixture
def experiment(store: Store) -> Iterator[str]:
    """An MLflow experiment of its own for each test: runs are found by what they have made."""
    experiment_id = store.experiment_id(EXPERIMENT)
    yield EXPERIMENT
    for run in store.client.search_runs([experiment_id]):
        store.client.delete_run(run.info.run_id)
    # Deleted ones count as known, so they must not be found either.
    store.client.rename_experiment(experiment_id, f"former {experiment_id}")
    store._experiments.clear()


@pytest.fixture
def resolve(store: Store, experiment: str) -> Callable[[Results], Resolution]:
    locks = {BASELINE: lock_of(0), LATER: lock_of(1)}
    repository: Any = SimpleNamespace(lock=lambda commit: locks.get(commit, Lock("", {})))

    def resolve_with_a_new_resolver(results: Results) -> Resolution:
        resolver = Resolver(store, experiment, repository, ORIGIN)
        if results.experiment:
            return resolver.resolve_experiment(results)
        return resolver.resolve_working_tree(results)

    return resolve_with_a_new_resolver


@pytest.fixture
def record(store: Store, experiment: str) -> Callable[..., dict[str, str]]:
    """Makes the runs that executed stages would have left; returns their ids by stage, and "parent"."""

    def record_runs(
        *stages: str,
        name: str = "muddy-ant",
        generation: int = 1,
        params: Mapping[str, Any] = PARAMS,
        origin: str = ORIGIN,
        commit: str = BASELINE,
    ) -> dict[str, str]:
        common = {tags.ORIGIN: origin, tags.GIT_COMMIT: commit}
        if name:
            common |= {tags.DVC_EXPERIMENT: name, tags.DVC_BASELINE: commit}
        made = {"parent": Parents(store, experiment).ensure(parent_run(common, params), 1)}
        common[tags.NESTED_IN] = made["parent"]
        for stage in stages:
            values, recorded, metrics = common | {tags.STAGE: stage}, {}, {}
            if stage in TRAININGS:
                values |= {tags.MODEL_DIGEST: model_digest(TRAININGS[stage], generation)}
                recorded = as_text(hyperparameters_of(TRAININGS[stage], params))
            else:
                for candidate in CANDIDATES:
                    digest = model_digest(candidate, generation)
                    values[f"{tags.MODEL_DIGEST}.{candidate}"] = digest
                    scores = flat_scores({candidate: SCORES}, candidate)
                    metrics |= {f"{candidate}/{score}": value for score, value in scores.items()}
            made[stage] = make_run(store, stage, values, recorded, metrics)
        return made

    return record_runs


def make_run(
    store: Store,
    name: str,
    values: dict[str, str],
    params: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> str:
    run_id = store.client.create_run(store.experiment_id(EXPERIMENT), tags=values, run_name=name).info.run_id
    store.log_params(run_id, params or {})
    for metric, value in (metrics or {}).items():
        store.client.log_metric(run_id, metric, value)
    store.client.set_terminated(run_id)
    return str(run_id)


def tags_of(store: Store, run_id: str) -> dict[str, str]:
    return store.client.get_run(run_id).data.tags


def unrecorded(resolution: Resolution) -> list[str]:
    return [each.stage for each in resolution.unrecorded]


ALL = ("train_baseline", "train_transfer", "tune", "evaluate")


def test_an_experiments_runs_get_its_commit_and_the_hashes_of_their_results(
    resolve, record, store, workspace: Workspace
):
    made = record(*ALL)
    trial = make_run(store, "trial-0", {tags.NESTED_IN: made["tune"], tags.ORIGIN: ORIGIN})
    resolution = resolve(results_of(workspace))
    assert resolution == Resolution(tagged=6, unrecorded=())
    assert {tags_of(store, run_id)[tags.DVC_COMMIT] for run_id in (*made.values(), trial)} == {COMMIT}
    assert tags_of(store, made["tune"])[tags.DVC_HASH] == "tuned-1.dir"
    assert tags_of(store, made["evaluate"])[tags.DVC_HASH] == "predictions-1.dir"
    assert tags.DVC_HASH not in tags_of(store, trial)
    assert resolve(results_of(workspace)) == Resolution(tagged=0, unrecorded=())


def test_runs_of_another_use_of_the_name_are_left_alone(resolve, record, store, workspace):
    former = record(*ALL, generation=2, params=OTHER_PARAMS)
    now = record(*ALL)
    assert resolve(results_of(workspace)) == Resolution(tagged=5, unrecorded=())
    assert not any(tags.DVC_COMMIT in tags_of(store, run_id) for run_id in former.values())
    assert all(tags.DVC_COMMIT in tags_of(store, run_id) for run_id in now.values())


def test_a_run_that_made_something_else_is_left_alone_although_name_and_params_agree(
    resolve, record, store, workspace
):
    former = record("train_baseline", generation=2)  # before somebody changed the code
    record(*ALL)
    resolve(results_of(workspace))
    assert tags.DVC_COMMIT not in tags_of(store, former["train_baseline"])


def test_an_experiment_that_was_renamed_has_its_runs_already(resolve, record, workspace):
    record(*ALL)
    resolve(results_of(workspace))
    assert resolve(results_of(workspace, experiment="better-name")) == Resolution(tagged=0, unrecorded=())


def test_what_has_no_run_in_the_experiment_is_found_with_its_original(resolve, record, workspace):
    original = record(*ALL, name="the-first")
    record("evaluate")
    resolution = resolve(results_of(workspace))
    assert unrecorded(resolution) == ["train_baseline", "train_transfer", "tune"]
    assert resolution.unrecorded[0].original == original["train_baseline"]


def test_what_an_experiment_has_from_its_baseline_needs_no_run(resolve, record, workspace):
    record("evaluate")
    assert unrecorded(resolve(results_of(workspace, base=1))) == []


def test_runs_that_somebody_has_deleted_are_not_missed(resolve, record, store, workspace):
    for run_id in record(*ALL).values():
        store.client.delete_run(run_id)
    assert resolve(results_of(workspace)) == Resolution(tagged=0, unrecorded=())


def test_the_runs_of_somebody_elses_folder_count_but_are_not_tagged(resolve, record, store, workspace):
    made = record(*ALL, origin="another folder")
    assert resolve(results_of(workspace)) == Resolution(tagged=0, unrecorded=())
    assert tags.DVC_COMMIT not in tags_of(store, made["parent"])


def test_results_that_cannot_be_read_are_not_guessed(resolve, record, store, workspace):
    made = record("train_baseline", "train_transfer")
    resolution = resolve(results_of(workspace, files={}))
    # Its runs may be the ones that made them; where there is none, there is something to restore.
    assert unrecorded(resolution) == ["tune", "evaluate"]
    assert tags.DVC_HASH not in tags_of(store, made["train_baseline"])


def test_scores_of_other_models_are_not_missed(resolve, record, workspace):
    """`dvc exp run train_baseline` leaves the evaluation of the former model where it is."""
    record("train_baseline", "train_transfer", "tune")
    results = results_of(workspace)
    stages = dict(results.lock.stages)
    stages["evaluate"] = replace(stages["evaluate"], inputs=dict.fromkeys(stages["evaluate"].inputs, "old"))
    assert unrecorded(resolve(replace(results, lock=Lock("", stages)))) == []


def test_a_reproduction_is_tagged_with_the_hashes_that_dvc_lock_has(resolve, record, store, workspace):
    made = record(*ALL, name="")
    resolution = resolve(results_of(workspace, experiment=""))
    assert resolution == Resolution(tagged=4, unrecorded=())
    assert tags_of(store, made["train_baseline"])[tags.DVC_HASH] == "baseline-1.dir"
    assert tags.DVC_COMMIT not in tags_of(store, made["parent"])


def test_the_same_network_from_other_params_is_another_run(resolve, record, store, workspace):
    made = record("train_baseline", name="", params=OTHER_PARAMS)
    resolve(results_of(workspace, experiment=""))
    assert tags.DVC_HASH not in tags_of(store, made["train_baseline"])


def test_a_new_store_knows_no_run(resolve, workspace):
    resolution = resolve(results_of(workspace, experiment="", generation=0))
    assert unrecorded(resolution) == list(ALL)
    assert {each.original for each in resolution.unrecorded} == {None}


def test_results_of_the_run_cache_differ_from_the_commit_and_have_no_run_since(resolve, record, workspace):
    """Params that were committed, given up, committed again in between, and taken up once more."""
    original = record(*ALL, name="", generation=2)
    resolution = resolve(results_of(workspace, experiment="", generation=2))
    assert unrecorded(resolution) == []  # they were made on this very commit

    after_a_commit = results_of(workspace, experiment="", generation=2, base=1)
    resolution = resolve(after_a_commit)
    assert unrecorded(resolution) == list(ALL)
    assert resolution.unrecorded[0].original == original["train_baseline"]


def test_a_commit_that_keeps_dvc_lock_changes_nothing(resolve, record, workspace):
    record(*ALL, name="", generation=2, commit=LATER)
    assert unrecorded(resolve(results_of(workspace, experiment="", generation=2, base=1))) == []


def test_an_applied_experiment_has_its_runs_already(resolve, record, workspace):
    record(*ALL)
    assert unrecorded(resolve(results_of(workspace, experiment=""))) == []


def test_a_working_tree_that_is_not_reproduced_is_left_alone(resolve, workspace):
    edited = replace(results_of(workspace, experiment=""), params={**PARAMS, "lr": 0.5})
    assert unrecorded(resolve(edited)) == []
    assert unrecorded(resolve(results_of(workspace, experiment="", files={}))) == []


def test_files_are_read_once_for_all_experiments_that_share_a_result(workspace):
    files, reads = files_of(1), []
    cards: dict[str, Any] = {}

    def read(path: str) -> bytes:
        reads.append(path)
        return files[path]

    for name in ("one", "two"):
        results = replace(results_of(workspace, experiment=name), read=read, cards=cards)
        assert results.card("tuned")["model_digest"] == model_digest("tuned", 1)
    assert reads == ["models/tuned/card.json"]
