"""Journals that arrive in a real MLflow store, whatever happens on the way."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.foundation.workspace import Workspace
from pipeline.tracking.journal import delivery
from pipeline.tracking.journal.delivery import deliver
from pipeline.tracking.journal.journal import Journal, Progress, pending_journals
from pipeline.tracking.store import Store, StoreUnavailableError
from tests.tracking.conftest import EXPERIMENT, JournalOf, MakeTracker, RunScript

# MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


class Killed(BaseException):
    """Stands for SIGKILL at a certain moment."""


@pytest.fixture
def ship(shared_workspace: Workspace, store: Store) -> Callable[[], None]:
    """Delivers everything that waits, oldest first."""

    def ship_all() -> None:
        for journal in pending_journals(shared_workspace.journal):
            assert deliver(journal, store)
        assert pending_journals(shared_workspace.journal) == []

    return ship_all


def only_run(store: Store, key: str) -> Any:
    """The run with this key. (MLflow's types leave open whether a run has inputs, outputs and metrics.)"""
    (run,) = store.find_runs(EXPERIMENT, {"run_key": key})
    return run


def test_a_whole_run_arrives(
    tracker: MakeTracker, shared_workspace: Workspace, store: Store, ship: Callable[[], None], tmp_path: Path
) -> None:
    picture = tmp_path / "confusion.png"
    picture.write_bytes(b"png")
    with tracker(shared_workspace, lr=0.1) as recording:
        open_run = recording.run("baseline", "whole")
        open_run.log_params({"lr": 0.1, "fast_cnn": {"widths": [32, 64]}})
        open_run.log_dataset("digits", "d" * 64, {"train": 100, "validation": 20})
        for epoch in (1, 2, 3):
            open_run.log_metrics({"loss": 1 / epoch, "accuracy": 0.5 + epoch / 10}, step=epoch)
        open_run.set_tags({"network": "fast_cnn"})
        open_run.log_artifact(picture, "evaluation")
        open_run.log_text("all is well", "evaluation/report.txt")
    ship()

    run = only_run(store, "whole")
    assert (run.info.status, run.info.run_name) == ("FINISHED", "baseline")
    assert run.data.params == {"lr": "0.1", "fast_cnn.widths": "[32, 64]"}
    losses = store.client.get_metric_history(run.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in losses] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert run.data.metrics["duration_seconds"] == pytest.approx(
        (run.info.end_time - run.info.start_time) / 1000
    )
    tags = run.data.tags
    assert (tags["stage"], tags["network"], tags["data_digest"]) == ("train_baseline", "fast_cnn", "d" * 64)
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("digits", "d" * 36)
    assert json.loads(dataset.dataset.profile) == {"train": 100, "validation": 20}
    evaluation = store.client.list_artifacts(run.info.run_id, "evaluation")
    assert [item.path for item in evaluation] == ["evaluation/confusion.png", "evaluation/report.txt"]
    assert Path(shared_workspace.tracking_artifacts).is_dir()
    assert list(shared_workspace.tracking_artifacts.rglob("system.json"))


def test_trials_are_nested_in_their_search(
    tracker: MakeTracker, shared_workspace: Workspace, store: Store, ship: Callable[[], None]
) -> None:
    with tracker(shared_workspace, "tune") as recording:
        open_run = recording.run("tuned", "search")
        with open_run.child("trial 1", "trial-1") as trial:
            trial.log_metrics({"val_loss": 2.0}, step=1)
        with pytest.raises(ValueError, match="not finite"), open_run.child("trial 2", "trial-2"):
            raise ValueError("not finite")
    ship()
    parent = only_run(store, "search").info.run_id
    statuses = {}
    for key in ("trial-1", "trial-2"):
        stored = only_run(store, key)
        assert stored.data.tags["mlflow.parentRunId"] == parent
        statuses[key] = stored.info.status
    assert statuses == {"trial-1": "FINISHED", "trial-2": "FAILED"}


def test_a_killed_stage_is_marked_and_goes_on_in_the_same_run(
    tracker: MakeTracker,
    shared_workspace: Workspace,
    store: Store,
    ship: Callable[[], None],
    run_script: RunScript,
) -> None:
    _, _, code = run_script(
        """
        import os, signal
        from pathlib import Path
        from pipeline.foundation.workspace import Workspace
        from pipeline.tracking.journal.journal_tracker import JournalTracker
        JournalTracker._start_delivery = lambda self, writer: None
        tracker = JournalTracker(Workspace(Path.cwd(), Path.cwd()), "train_baseline", "tests", {})
        run = tracker.run("baseline", "killed")
        run.log_metrics({"loss": 3.0}, step=1)
        with run.child("inner", "killed inner"):
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        shared_workspace.root,
    )
    assert code == -9
    ship()
    killed = only_run(store, "killed")
    assert killed.info.status == "KILLED"
    assert only_run(store, "killed inner").info.status == "KILLED"
    store.client.log_metric(killed.info.run_id, "duration_seconds", 100.0)  # as if it had run so long

    with tracker(shared_workspace) as recording:
        open_run = recording.run("baseline", "killed")
        open_run.log_metrics({"loss": 2.0}, step=2)
    ship()
    resumed = only_run(store, "killed")
    assert (resumed.info.run_id, resumed.info.status) == (killed.info.run_id, "FINISHED")
    assert resumed.data.tags["resumed"] == "1"
    assert resumed.data.metrics["duration_seconds"] >= 100.0
    steps = [metric.step for metric in store.client.get_metric_history(resumed.info.run_id, "loss")]
    assert steps == [1, 2]


def test_a_finished_run_is_continued_where_its_stage_was_killed_at_the_very_end(
    tracker: MakeTracker, shared_workspace: Workspace, store: Store, ship: Callable[[], None]
) -> None:
    for loss in (2.0, 1.0):
        with tracker(shared_workspace) as recording:
            run = recording.run("baseline", "again")
            run.log_metrics({"loss": loss}, step=1)
    ship()
    run = only_run(store, "again")
    assert (run.info.status, run.data.metrics["loss"]) == ("FINISHED", 1.0)


def test_a_finished_run_of_another_experiment_is_not_continued(
    tracker: MakeTracker, shared_workspace: Workspace, store: Store, ship: Callable[[], None]
) -> None:
    for seed in (1, 2):
        shared_workspace.params.write_text(f"seed: {seed}\n")
        with tracker(shared_workspace) as recording:
            recording.run("baseline", "elsewhere")
    shared_workspace.params.unlink()
    ship()
    assert len(store.find_runs(EXPERIMENT, {"run_key": "elsewhere"}, status="FINISHED")) == 2


def test_two_processes_with_the_same_key_at_once_keep_apart(
    tracker: MakeTracker, shared_workspace: Workspace, store: Store
) -> None:
    first, second = tracker(shared_workspace), tracker(shared_workspace)
    with first, second:
        first.run("baseline", "twins")
        second.run("baseline", "twins")
        for journal in pending_journals(shared_workspace.journal):
            assert not deliver(journal, store)
    for journal in pending_journals(shared_workspace.journal):
        assert deliver(journal, store)
    assert len(store.find_runs(EXPERIMENT, {"run_key": "twins"}, status="FINISHED")) == 2


def test_the_evaluation_is_added_to_the_training_and_its_model(
    tracker: MakeTracker,
    shared_workspace: Workspace,
    store: Store,
    ship: Callable[[], None],
    model_folder: Path,
) -> None:
    with tracker(shared_workspace) as recording:
        open_run = recording.run("baseline", "trained")
        open_run.log_params({"lr": 0.1})
        open_run.log_model(model_folder, "e" * 64)
    with tracker(shared_workspace, "evaluate") as recording:
        open_run = recording.run_of_model("e" * 64)
        open_run.log_metrics({"test_accuracy": 0.75})
        open_run.log_text("report", "evaluation/report.txt")
        open_run = recording.run_of_model("0" * 64)  # nobody has trained that one
        open_run.log_metrics({"test_accuracy": 0.1})
        open_run.log_text("report", "evaluation/report.txt")
    ship()

    run = only_run(store, "trained")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test_accuracy"] == 0.75
    assert run.data.tags["model_digest"] == "e" * 64
    (output,) = run.outputs.model_outputs
    model = store.client.get_logged_model(output.model_id)
    assert {metric.key: metric.value for metric in model.metrics or []}["test_accuracy"] == 0.75
    assert model.tags["model_digest"] == "e" * 64
    assert (model.params, model.status) == ({"lr": "0.1"}, "READY")


def test_of_several_trainings_of_a_model_the_latest_gets_the_evaluation(
    tracker: MakeTracker,
    shared_workspace: Workspace,
    store: Store,
    ship: Callable[[], None],
    model_folder: Path,
) -> None:
    for key in ("earlier", "later"):
        with tracker(shared_workspace) as recording:
            open_run = recording.run("baseline", key)
            open_run.log_model(model_folder, "f" * 64)
    with tracker(shared_workspace, "evaluate") as recording:
        run = recording.run_of_model("f" * 64)
        run.log_metrics({"test_accuracy": 0.5})
    ship()
    assert "test_accuracy" not in only_run(store, "earlier").data.metrics
    assert only_run(store, "later").data.metrics["test_accuracy"] == 0.5


def test_delivery_killed_after_any_event_loses_and_doubles_nothing(
    tracker: MakeTracker,
    shared_workspace: Workspace,
    store: Store,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    journal_of: JournalOf,
) -> None:
    with tracker(shared_workspace, "tune") as recording:
        open_run = recording.run("tuned", "unlucky")
        open_run.log_params({"lr": 0.1})
        open_run.log_dataset("digits", "a" * 64, {"train": 3})
        with open_run.child("trial", "unlucky trial") as trial:
            trial.log_metrics({"loss": 1.0}, step=1)
        open_run.log_metrics({"loss": 1.0}, step=1)
        open_run.log_text("x", "x.txt")
        open_run.log_model(model_folder, "c" * 64)
        open_run.log_metrics({"loss": 0.5}, step=2)
        open_run.set_tags({"done": "yes"})
    journal = journal_of(shared_workspace)
    deliveries = sum(1 for _ in delivery._grouped(journal.read(0)))
    save = Progress.save

    def die_before_saving(self: Progress, journal: Journal) -> None:
        raise Killed

    for _ in range(deliveries):
        # The event has reached MLflow, but its acknowledgement is lost ...
        monkeypatch.setattr(Progress, "save", die_before_saving)
        with pytest.raises(Killed):
            deliver(journal, store)
        # ... so that it comes a second time, and then the process dies after the next one.
        saved: list[bool] = []

        def save_once(self: Progress, journal: Journal, saved: list[bool] = saved) -> None:
            if saved:
                raise Killed
            save(self, journal)
            saved.append(True)

        monkeypatch.setattr(Progress, "save", save_once)
        try:
            if deliver(journal, store):
                break
        except Killed:
            continue
    assert not journal.exists

    run = only_run(store, "unlucky")
    assert (run.info.status, run.data.tags["done"]) == ("FINISHED", "yes")
    assert "resumed" not in run.data.tags
    losses = store.client.get_metric_history(run.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in losses] == [(1, 1.0), (2, 0.5)]
    assert len(run.inputs.dataset_inputs) == 1
    assert len(run.outputs.model_outputs) == 1
    assert only_run(store, "unlucky trial").data.tags["mlflow.parentRunId"] == run.info.run_id


def test_a_model_that_was_half_delivered_is_delivered_anew(
    tracker: MakeTracker,
    shared_workspace: Workspace,
    store: Store,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    journal_of: JournalOf,
    ship: Callable[[], None],
) -> None:
    with tracker(shared_workspace) as recording:
        open_run = recording.run("baseline", "half")
        open_run.log_model(model_folder, "b" * 64)

    def die(*arguments: object) -> None:
        raise Killed

    for last_step in ("log_model_artifacts", "finalize_logged_model", "log_outputs"):
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(store.client, last_step, die)
            deliver(journal_of(shared_workspace), store)
    ship()
    run = only_run(store, "half")
    (model,) = store.logged_models_of(run, "b" * 64)
    assert model.status == "READY"
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]


def test_what_mlflow_refuses_is_put_aside_and_the_rest_arrives(
    tracker: MakeTracker, shared_workspace: Workspace, store: Store, ship: Callable[[], None]
) -> None:
    with tracker(shared_workspace) as recording:
        open_run = recording.run("baseline", "changed")
        open_run.log_params({"lr": 0.1})
        open_run.log_params({"lr": 0.2})  # MLflow never changes a parameter
        open_run.log_metrics({"loss": 1.0})
    ship()
    run = only_run(store, "changed")
    assert (run.info.status, run.data.params["lr"], run.data.metrics["loss"]) == ("FINISHED", "0.1", 1.0)
    refused = shared_workspace.journal / delivery.REJECTED
    (record,) = [json.loads(line) for line in refused.read_text().splitlines()]
    assert record["events"][0]["params"] == {"lr": "0.2"}
    refused.unlink()


def test_the_limits_of_mlflow_are_kept(
    tracker: MakeTracker, shared_workspace: Workspace, store: Store, ship: Callable[[], None]
) -> None:
    with tracker(shared_workspace) as recording:
        open_run = recording.run("baseline", "limits")
        open_run.log_params({"classes": "x" * 7000, **{f"many.{number}": number for number in range(250)}})
        open_run.log_metrics({"recall of a, b & Käse": 0.5, "not a number": float("nan")})
        open_run.set_tags({"long": "y" * 9000})
    ship()
    run = only_run(store, "limits")
    assert len(run.data.params) == 251
    assert len(run.data.params["classes"]) == 6000
    (whole,) = shared_workspace.tracking_artifacts.rglob("classes.txt")
    assert whole.read_text() == "x" * 7000
    assert run.data.metrics["recall of a_ b _ Käse"] == 0.5
    assert len(run.data.tags["long"]) == 8000
    assert not (shared_workspace.journal / delivery.REJECTED).exists()


def test_a_deleted_experiment_comes_back(
    tracker: MakeTracker, shared_workspace: Workspace, store: Store, ship: Callable[[], None]
) -> None:
    identifier = store.experiment_id(EXPERIMENT)
    store.client.delete_experiment(identifier)
    store._experiments.clear()
    with tracker(shared_workspace) as recording:
        recording.run("baseline", "restored")
    ship()
    assert only_run(store, "restored").info.experiment_id == identifier


def test_a_delivery_waits_for_another_of_the_same_journal(
    tracker: MakeTracker,
    shared_workspace: Workspace,
    store: Store,
    journal_of: JournalOf,
    ship: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "_OTHER_DELIVERY_SECONDS", 0.1)
    with tracker(shared_workspace) as recording:
        recording.run("baseline", "locked")
    journal = journal_of(shared_workspace)
    with journal.delivery_lock(), pytest.raises(StoreUnavailableError, match="another process"):
        deliver(journal, store)
    ship()
    assert deliver(journal, store)  # somebody else was faster: nothing to do, nothing left behind
    assert not journal.folder.exists()


def test_artifacts_go_below_the_home_from_wherever_a_stage_runs(
    tracker: MakeTracker, shared_workspace: Workspace, store: Store, ship: Callable[[], None], tmp_path: Path
) -> None:
    elsewhere = Workspace(root=tmp_path, home=shared_workspace.home)
    with tracker(elsewhere) as recording:
        recording.run("baseline", "queued")
    ship()
    uri = only_run(store, "queued").info.artifact_uri
    assert uri.startswith(shared_workspace.tracking_artifacts.as_uri())


def held_by_another(journal: Journal, finally_does: Callable[[], None] = lambda: None) -> None:
    """Let another process be at the delivery of a journal for half a second."""
    other = journal.delivery_lock()
    other.acquire()

    def ends() -> None:
        finally_does()
        other.release()

    threading.Timer(0.5, ends).start()


def test_a_journal_that_another_process_delivers_while_this_one_waits(
    tracker: MakeTracker, shared_workspace: Workspace, store: Store, journal_of: JournalOf
) -> None:
    with tracker(shared_workspace) as recording:
        recording.run("baseline", "raced")
        journal = journal_of(shared_workspace)
    held_by_another(journal, finally_does=journal.remove)
    assert deliver(journal, store)
    assert pending_journals(shared_workspace.journal) == []


def test_who_follows_a_journal_takes_over_what_another_process_leaves(
    tracker: MakeTracker, shared_workspace: Workspace, store: Store, journal_of: JournalOf
) -> None:
    with tracker(shared_workspace) as recording:
        recording.run("baseline", "left")
        journal = journal_of(shared_workspace)
    held_by_another(journal)
    delivery.follow(journal, store)
    assert only_run(store, "left").info.status == "FINISHED"
    assert pending_journals(shared_workspace.journal) == []


def test_who_follows_a_journal_does_not_wait_for_ever(
    tracker: MakeTracker,
    shared_workspace: Workspace,
    store: Store,
    journal_of: JournalOf,
    ship: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(delivery, "_OTHER_DELIVERY_SECONDS", 0.1)
    with tracker(shared_workspace) as recording:
        recording.run("baseline", "hangs")
        journal = journal_of(shared_workspace)
    with journal.delivery_lock():
        delivery.follow(journal, store)
    assert "another process is still delivering" in capsys.readouterr().out
    assert journal.exists
    ship()
