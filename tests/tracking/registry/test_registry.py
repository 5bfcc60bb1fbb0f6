"""The registered model in a real MLflow store."""

import os
import threading
from dataclasses import replace

import numpy as np
import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.tracking import tags
from pipeline.tracking.provenance import origin
from pipeline.tracking.registry.decisions import Decision, GateRecord, VersionName, new_key, now
from pipeline.tracking.registry.registry import CHALLENGER, CHAMPION, Registry
from pipeline.tracking.runs.trainings import find_trained
from pipeline.tracking.store import Store
from tests.tracking.made_versions import EXPERIMENT, answers, make_trained, make_version

# MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


@pytest.fixture
def registry(store: Store, request: pytest.FixtureRequest) -> Registry:
    """A registered model of its own for each test, in one store: making a store takes seconds."""
    return Registry(store, request.node.name)


def entry(version: int) -> Decision:
    return Decision(
        key=new_key(),
        kind="refused",
        when=now(),
        who="me@here",
        reason="",
        version=VersionName(version, "d" * 64),
        champion=None,
    )


def test_a_version_has_what_a_later_decision_needs(registry: Registry) -> None:
    predictions = answers(range(7))
    version = make_version(registry, predictions)
    assert version.number == 1
    found = registry.evidence(version)
    np.testing.assert_array_equal(
        found.predictions["test"].probabilities, predictions.probabilities, strict=True
    )
    assert set(found.references) == {"majority_class", "logistic_regression"}
    (kept,) = registry.store.client.list_artifacts(version.run_id, "registration")
    assert kept.path == version.tags[tags.REGISTRATION]
    registered = registry.store.client.get_model_version(registry.name, "1")
    assert registered.source is not None
    assert registered.source.startswith("models:/m-")


def test_a_model_is_found_by_its_digest(registry: Registry) -> None:
    first, second = (make_version(registry, answers([]), name=name) for name in ("one", "two"))
    assert registry.version_of(first.model_digest) == first
    assert registry.version_of(second.model_digest) == second
    assert registry.version_of("0" * 64) is None


def test_the_run_of_this_project_folder_comes_before_those_of_others(
    registry: Registry, shared_workspace: Workspace
) -> None:
    own = make_trained(registry, "e" * 64, {tags.ORIGIN: origin(shared_workspace.home)})
    make_trained(registry, "e" * 64, {tags.ORIGIN: "somebody else"})
    assert find_trained(registry.store, EXPERIMENT, "e" * 64) == own
    assert find_trained(registry.store, EXPERIMENT, "f" * 64) is None


def test_a_run_whose_model_did_not_arrive_whole_is_passed_over(registry: Registry) -> None:
    whole = make_trained(registry, "a" * 64)
    client, experiment = registry.store.client, registry.store.experiment_id(EXPERIMENT)
    later = client.create_run(experiment, tags={tags.MODEL_DIGEST: "a" * 64})
    client.create_logged_model(experiment, "model", later.info.run_id, tags={tags.MODEL_DIGEST: "a" * 64})
    assert find_trained(registry.store, EXPERIMENT, "a" * 64) == whole


def test_aliases_move_and_go(registry: Registry) -> None:
    for name in ("one", "two"):
        make_version(registry, answers([]), name=name)
    registry.set_alias(CHAMPION, 1)
    registry.set_alias(CHALLENGER, 2)
    registry.set_alias(CHAMPION, 2)
    assert registry.read().aliases == {CHAMPION: 2, CHALLENGER: 2}
    registry.remove_alias(CHALLENGER)
    registry.remove_alias(CHALLENGER)  # somebody else may have been faster
    assert registry.read().aliases == {CHAMPION: 2}


def test_the_log_grows_and_is_read_in_order(registry: Registry) -> None:
    make_version(registry, answers([]))
    entries = [entry(number) for number in (3, 1, 2)]
    for each in reversed(entries):
        registry.record(each)
    assert registry.read().decisions == entries


def test_an_entry_with_all_gates_of_a_hundred_classes_has_room_in_the_database(registry: Registry) -> None:
    make_version(registry, answers([]))
    gates = tuple(
        GateRecord(
            f"gate {number}", "failed", "r" * 40, {"class": "ß" * 300, "before": 0.123456, "after": 0.1}
        )
        for number in range(8)
    )
    registry.record(replace(entry(1), gates=gates, reason="because " * 1000))
    (read,) = registry.read().decisions
    assert len(read.gates) == 8
    # MLflow's column takes 5000 characters; SQLite would not say so, PostgreSQL does.
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlRegisteredModelTag

    room = SqlRegisteredModelTag.__table__.c.value.type.length
    assert room == 5000
    assert SqlModelVersion.__table__.c.description.type.length == 5000
    (tag,) = registry.store.client.get_registered_model(registry.name).tags.values()
    assert len(tag) <= room


def test_what_is_missing_is_said(registry: Registry) -> None:
    with pytest.raises(PipelineError, match=r"No model called .* is registered.\n.*pipeline register"):
        registry.read()
    version = make_version(registry, answers([]))
    with pytest.raises(PipelineError, match=r"There is no version 5 of"):
        registry.version(5)
    incomplete = replace(version, tags={})
    with pytest.raises(PipelineError, match="register its model again"):
        registry.evidence(incomplete)


def test_a_deleted_version_loses_its_aliases(registry: Registry) -> None:
    make_version(registry, answers([]))
    registry.set_alias(CHAMPION, 1)
    registry.store.client.delete_model_version(registry.name, "1")
    assert registry.read().aliases == {}
    with pytest.raises(PipelineError, match="There is no version 1 of"):
        registry.version(1)


def test_a_server_that_is_down_is_no_traceback(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with pytest.raises(PipelineError, match=r"nothing answers at http://127\.0\.0\.1:9"):
        Registry(Store(workspace), "model").read()


def test_registering_leaves_the_environment_as_it_was(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    make_version(registry, answers([]))
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_who_comes_second_waits_and_says_so(registry: Registry) -> None:
    other = Registry(Store(registry.store.workspace), registry.name)
    said, order = [], []
    waiting = threading.Event()

    def second() -> None:
        def say(line: str) -> None:
            said.append(line)
            waiting.set()

        with other.alone(say):
            order.append("second")

    thread = threading.Thread(target=second)
    with registry.alone(said.append):
        thread.start()
        assert waiting.wait(20)
        order.append("first")
    thread.join(20)
    assert order == ["first", "second"]
    assert said == ["another process is changing the registry: waiting for it"]
