"""Which runs made which outputs: what is tagged with what, and what is left alone."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.foundation.workspace import Workspace
from pipeline.repository.repository import Lock
from pipeline.repository.stage_outputs import StageOutputs
from pipeline.tracking import tags
from pipeline.tracking.flat_params import as_text
from pipeline.tracking.journal.parents import Parents, parent_run
from pipeline.tracking.runs.facts import facts_of
from pipeline.tracking.runs.matching import Matched, RunMatcher
from pipeline.tracking.store import Store
from tests.tracking.conftest import EXPERIMENT
from tests.tracking.made_outputs import (
    BASELINE,
    COMMIT,
    PARAMS,
    lock_of,
    model_digest,
    outputs_of,
)

# MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

Match = Callable[[StageOutputs], Matched]
Record = Callable[..., dict[str, str]]
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
def match(store: Store, experiment: str) -> Match:
    locks = {BASELINE: lock_of(0), LATER: lock_of(1)}
    repository: Any = SimpleNamespace(lock=lambda commit: locks.get(commit, Lock("", {})))

    def match_with_a_new_matcher(outputs: StageOutputs) -> Matched:
        matcher = RunMatcher(store, experiment, repository, ORIGIN)
        if outputs.experiment:
            return matcher.match_experiment(outputs)
        return matcher.match_working_tree(outputs)

    return match_with_a_new_matcher


@pytest.fixture
def record(store: Store, experiment: str, workspace: Workspace) -> Record:
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
            facts = facts_of(outputs_of(workspace, generation=generation, params=params), stage)
            assert facts is not None
            values = common | {tags.STAGE: stage, **facts.tags}
            made[stage] = make_run(store, stage, values, as_text(facts.params), facts.metrics)
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


def missing(matched: Matched) -> list[str]:
    return [each.stage for each in matched.missing]


ALL = ("train_baseline", "train_transfer", "tune", "evaluate")


def test_an_experiments_runs_get_its_commit_and_the_hashes_of_their_results(
    match: Match, record: Record, store: Store, workspace: Workspace
) -> None:
    made = record(*ALL)
    trial = make_run(store, "trial-0", {tags.NESTED_IN: made["tune"], tags.ORIGIN: ORIGIN})
    matched = match(outputs_of(workspace))
    assert matched == Matched(tagged=6, missing=())
    assert {tags_of(store, run_id)[tags.DVC_COMMIT] for run_id in (*made.values(), trial)} == {COMMIT}
    assert tags_of(store, made["tune"])[tags.DVC_HASH] == "tuned-1.dir"
    assert tags_of(store, made["evaluate"])[tags.DVC_HASH] == "predictions-1.dir"
    assert tags.DVC_HASH not in tags_of(store, trial)
    assert match(outputs_of(workspace)) == Matched(tagged=0, missing=())


def test_runs_of_another_use_of_the_name_are_left_alone(
    match: Match, record: Record, store: Store, workspace: Workspace
) -> None:
    former = record(*ALL, generation=2, params=OTHER_PARAMS)
    now = record(*ALL)
    assert match(outputs_of(workspace)) == Matched(tagged=5, missing=())
    assert not any(tags.DVC_COMMIT in tags_of(store, run_id) for run_id in former.values())
    assert all(tags.DVC_COMMIT in tags_of(store, run_id) for run_id in now.values())


def test_a_run_that_made_something_else_is_left_alone_although_name_and_params_agree(
    match: Match, record: Record, store: Store, workspace: Workspace
) -> None:
    former = record("train_baseline", generation=2)  # before somebody changed the code
    record(*ALL)
    match(outputs_of(workspace))
    assert tags.DVC_COMMIT not in tags_of(store, former["train_baseline"])


def test_an_experiment_that_was_renamed_has_its_runs_already(
    match: Match, record: Record, workspace: Workspace
) -> None:
    record(*ALL)
    match(outputs_of(workspace))
    assert match(outputs_of(workspace, experiment="better-name")) == Matched(tagged=0, missing=())


def test_what_has_no_run_in_the_experiment_is_found_with_its_original(
    match: Match, record: Record, workspace: Workspace
) -> None:
    original = record(*ALL, name="the-first")
    record("evaluate")
    matched = match(outputs_of(workspace))
    assert missing(matched) == ["train_baseline", "train_transfer", "tune"]
    assert matched.missing[0].original == original["train_baseline"]


def test_what_an_experiment_has_from_its_baseline_needs_no_run(
    match: Match, record: Record, workspace: Workspace
) -> None:
    record("evaluate")
    assert missing(match(outputs_of(workspace, base=1))) == []


def test_runs_that_somebody_has_deleted_are_not_missed(
    match: Match, record: Record, store: Store, workspace: Workspace
) -> None:
    for run_id in record(*ALL).values():
        store.client.delete_run(run_id)
    assert match(outputs_of(workspace)) == Matched(tagged=0, missing=())


def test_the_runs_of_somebody_elses_folder_count_but_are_not_tagged(
    match: Match, record: Record, store: Store, workspace: Workspace
) -> None:
    made = record(*ALL, origin="another folder")
    assert match(outputs_of(workspace)) == Matched(tagged=0, missing=())
    assert tags.DVC_COMMIT not in tags_of(store, made["parent"])


def test_results_that_cannot_be_read_are_not_guessed(
    match: Match, record: Record, store: Store, workspace: Workspace
) -> None:
    made = record("train_baseline", "train_transfer")
    matched = match(outputs_of(workspace, gone=[""]))
    # Its runs may be the ones that made them; where there is none, there is something to restore.
    assert missing(matched) == ["tune", "evaluate"]
    assert tags.DVC_HASH not in tags_of(store, made["train_baseline"])


def test_scores_of_other_models_are_not_missed(match: Match, record: Record, workspace: Workspace) -> None:
    """`dvc exp run train_baseline` leaves the evaluation of the former model where it is."""
    record("train_baseline", "train_transfer", "tune")
    outputs = outputs_of(workspace)
    stages = dict(outputs.lock.stages)
    stages["evaluate"] = replace(stages["evaluate"], inputs=dict.fromkeys(stages["evaluate"].inputs, "old"))
    assert missing(match(replace(outputs, lock=Lock("", stages)))) == []


def test_a_reproduction_is_tagged_with_the_hashes_that_dvc_lock_has(
    match: Match, record: Record, store: Store, workspace: Workspace
) -> None:
    made = record(*ALL, name="")
    matched = match(outputs_of(workspace, experiment=""))
    assert matched == Matched(tagged=4, missing=())
    assert tags_of(store, made["train_baseline"])[tags.DVC_HASH] == "baseline-1.dir"
    assert tags.DVC_COMMIT not in tags_of(store, made["parent"])


def test_the_same_network_from_other_params_is_another_run(
    match: Match, record: Record, store: Store, workspace: Workspace
) -> None:
    made = record("train_baseline", name="", params=OTHER_PARAMS)
    match(outputs_of(workspace, experiment=""))
    assert tags.DVC_HASH not in tags_of(store, made["train_baseline"])


def test_a_new_store_knows_no_run(match: Match, workspace: Workspace) -> None:
    matched = match(outputs_of(workspace, experiment="", generation=0))
    assert missing(matched) == list(ALL)
    assert {each.original for each in matched.missing} == {None}


def test_results_of_the_run_cache_differ_from_the_commit_and_have_no_run_since(
    match: Match, record: Record, workspace: Workspace
) -> None:
    """Params that were committed, given up, committed again in between, and taken up once more."""
    original = record(*ALL, name="", generation=2)
    matched = match(outputs_of(workspace, experiment="", generation=2))
    assert missing(matched) == []  # they were made on this very commit

    after_a_commit = outputs_of(workspace, experiment="", generation=2, base=1)
    matched = match(after_a_commit)
    assert missing(matched) == list(ALL)
    assert matched.missing[0].original == original["train_baseline"]


def test_a_commit_that_keeps_dvc_lock_changes_nothing(
    match: Match, record: Record, workspace: Workspace
) -> None:
    record(*ALL, name="", generation=2, commit=LATER)
    assert missing(match(outputs_of(workspace, experiment="", generation=2, base=1))) == []


def test_an_applied_experiment_has_its_runs_already(
    match: Match, record: Record, workspace: Workspace
) -> None:
    record(*ALL)
    assert missing(match(outputs_of(workspace, experiment=""))) == []


def test_a_working_tree_that_is_not_reproduced_is_left_alone(match: Match, workspace: Workspace) -> None:
    edited = replace(outputs_of(workspace, experiment=""), params={**PARAMS, "lr": 0.5})
    assert missing(match(edited)) == []
    assert missing(match(outputs_of(workspace, experiment="", gone=[""]))) == []


def test_cards_are_read_once_for_all_experiments_that_share_a_model(workspace: Workspace) -> None:
    reads: list[str] = []
    cards: dict[tuple[str, str], Any] = {}
    for name in ("one", "two"):
        made = outputs_of(workspace, experiment=name)

        def find(path: Path, found: Callable[[Path], Path | None] = made.find) -> Path | None:
            reads.append(path.name)
            return found(path)

        card = replace(made, find=find, cards=cards).card("tuned")
        assert card is not None
        assert card["model_digest"] == model_digest("tuned", 1)
    assert reads == ["card.json"]
