"""The run above all runs of one experiment: made once, and in step with what happens below it."""

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from mlflow.entities import Run

from pipeline.foundation.workspace import Workspace
from pipeline.tracking import tags
from pipeline.tracking.journal.parents import Parents, parent_run
from pipeline.tracking.store import Store
from tests.tracking.conftest import EXPERIMENT, MakeTracker, RunScript

# MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

BASELINE = "b" * 40
PARAMS = "lr: 0.1\nevaluate:\n  top_k: 3\nfetch:\n  location: https://me:secret@mirror.example/cifar\n"

BeginExperiment = Callable[..., Workspace]
Evaluate = Callable[..., None]


@pytest.fixture
def experiment(
    shared_workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> BeginExperiment:
    """Sets the stage for a DVC experiment: returns the workspace that its stages see."""

    def begin(name: str, params: str = PARAMS) -> Workspace:
        monkeypatch.setenv("DVC_EXP_NAME", name)
        monkeypatch.setenv("DVC_EXP_BASELINE_REV", BASELINE)
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        (root / "params.yaml").write_text(params)
        return Workspace(root=root, home=shared_workspace.home)

    return begin


def parents(store: Store, name: str) -> list[Run]:
    wanted = {tags.KIND: tags.KIND_EXPERIMENT, tags.DVC_EXPERIMENT: name}
    return store.find_runs(EXPERIMENT, wanted)


def only_parent(store: Store, name: str) -> Run:
    (parent,) = parents(store, name)
    return parent


def child(store: Store, key: str) -> Run:
    (run,) = store.find_runs(EXPERIMENT, {tags.RUN_KEY: key})
    return run


def test_all_runs_of_an_experiment_stand_below_one_that_has_its_params(
    tracker: MakeTracker, experiment: BeginExperiment, store: Store, ship: Callable[[], None]
) -> None:
    workspace = experiment("muddy-ant")
    with tracker(workspace, "tune") as tune:
        run = tune.run("tuned", "muddy tuned")
        with run.child("trial-0", "muddy trial"):
            pass
        ship()
        assert only_parent(store, "muddy-ant").info.status == "RUNNING"
    ship()
    assert only_parent(store, "muddy-ant").info.status == "FINISHED"
    with tracker(workspace, "evaluate") as evaluate:
        evaluate.run("evaluate", "muddy evaluate")
    ship()

    parent = only_parent(store, "muddy-ant")
    tuned, trial, evaluation = (child(store, f"muddy {name}") for name in ("tuned", "trial", "evaluate"))
    assert parent.info.run_name == "muddy-ant"
    assert parent.data.params == {
        "lr": "0.1",
        "evaluate.top_k": "3",
        "fetch.location": "https://mirror.example/cifar",
    }
    assert parent.data.tags[tags.DVC_BASELINE] == BASELINE
    assert tuned.data.tags[tags.NESTED_IN] == parent.info.run_id
    assert evaluation.data.tags[tags.NESTED_IN] == parent.info.run_id
    assert trial.data.tags[tags.NESTED_IN] == tuned.info.run_id
    kinds = [run.data.tags[tags.KIND] for run in (parent, tuned, trial, evaluation)]
    assert kinds == ["experiment", "training", "trial", "evaluation"]
    assert parent.info.start_time == tuned.info.start_time
    assert parent.info.end_time == evaluation.info.end_time


def test_an_experiment_is_another_one_with_other_params(
    tracker: MakeTracker, experiment: BeginExperiment, store: Store, ship: Callable[[], None]
) -> None:
    for number, params in enumerate((PARAMS, PARAMS, PARAMS.replace("0.1", "0.2"))):
        with tracker(experiment("again", params)) as recording:
            recording.run("baseline", f"again {number}")
    ship()
    above = [child(store, f"again {number}").data.tags[tags.NESTED_IN] for number in range(3)]
    assert above[0] == above[1] != above[2]
    assert sorted(parent.data.params["lr"] for parent in parents(store, "again")) == ["0.1", "0.2"]


def test_a_reproduction_is_named_after_its_commit(
    tracker: MakeTracker, shared_workspace: Workspace, store: Store, ship: Callable[[], None], tmp_path: Path
) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *identity, *command], cwd=tmp_path, check=True)
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=tmp_path, text=True).strip()
    workspace = Workspace(root=tmp_path, home=shared_workspace.home)
    with tracker(workspace) as recording:
        recording.run("baseline", "plain")
    ship()
    parent = store.client.get_run(child(store, "plain").data.tags[tags.NESTED_IN])
    assert parent.info.run_name == f"workspace-{commit[:7]}"
    assert parent.data.tags[tags.GIT_COMMIT] == commit
    assert parent.data.tags["mlflow.source.name"] == "dvc repro"


def test_what_is_delivered_late_needs_nothing_of_the_experiments_folder(
    tracker: MakeTracker, experiment: BeginExperiment, store: Store, ship: Callable[[], None]
) -> None:
    workspace = experiment("queued")
    with tracker(workspace) as recording:
        recording.run("baseline", "queued")
    shutil.rmtree(workspace.root)
    ship()
    assert only_parent(store, "queued").data.params["lr"] == "0.1"


def test_processes_that_make_a_parent_at_once_make_one(
    shared_workspace: Workspace, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_run = Store.find_run

    def find_run_slowly(self: Store, experiment: str, wanted: Mapping[str, str]) -> Run | None:
        found = find_run(self, experiment, wanted)
        time.sleep(0.1)  # in which another process could find nothing either
        return found

    monkeypatch.setattr(Store, "find_run", find_run_slowly)
    described = parent_run({tags.ORIGIN: "here", tags.DVC_EXPERIMENT: "at once"}, {"lr": 0.1})
    makers = 4
    barrier = threading.Barrier(makers)
    made = []

    def make() -> None:
        with Store(shared_workspace) as own:  # with a lock of its own
            barrier.wait()
            made.append(Parents(own, EXPERIMENT).ensure(described, 1))

    threads = [threading.Thread(target=make) for _ in range(makers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (parent,) = parents(store, "at once")
    assert made == [parent.info.run_id] * makers


def test_a_parent_has_the_status_of_its_latest_child(
    tracker: MakeTracker,
    experiment: BeginExperiment,
    store: Store,
    ship: Callable[[], None],
    run_script: RunScript,
) -> None:
    workspace = experiment("unlucky")
    with pytest.raises(ValueError, match="x"), tracker(workspace) as recording:
        recording.run("baseline", "unlucky 1")
        raise ValueError("x")
    ship()
    assert only_parent(store, "unlucky").info.status == "FAILED"
    _, _, code = run_script(
        f"""
        import os, signal
        from pathlib import Path
        from pipeline.foundation.workspace import Workspace
        from pipeline.tracking.journal.journal_tracker import JournalTracker
        JournalTracker._start_delivery = lambda self, writer: None
        workspace = Workspace(Path.cwd(), Path({str(workspace.home)!r}))
        tracker = JournalTracker(workspace, "tune", {EXPERIMENT!r}, {{}})
        tracker.run("tuned", "unlucky 2")
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        workspace.root,
    )
    assert code == -9
    ship()
    parent, killed = only_parent(store, "unlucky"), child(store, "unlucky 2")
    assert (parent.info.status, parent.info.end_time) == ("KILLED", killed.info.end_time)
    with tracker(workspace, "tune") as recording:
        recording.run("tuned", "unlucky 2")
        ship()
        assert only_parent(store, "unlucky").info.status == "RUNNING"
    ship()
    assert only_parent(store, "unlucky").info.status == "FINISHED"


def test_a_training_that_goes_on_elsewhere_moves_with_its_trials(
    tracker: MakeTracker, experiment: BeginExperiment, store: Store, ship: Callable[[], None]
) -> None:
    with pytest.raises(KeyboardInterrupt), tracker(experiment("first-try"), "tune") as recording:
        run = recording.run("tuned", "moves")
        with run.child("trial-0", "moves trial"):
            pass
        raise KeyboardInterrupt
    ship()
    former = only_parent(store, "first-try")
    assert former.info.status == "KILLED"

    with tracker(experiment("second-try"), "tune") as recording:
        recording.run("tuned", "moves")
    ship()
    moved, trial = child(store, "moves"), child(store, "moves trial")
    assert moved.data.tags[tags.NESTED_IN] == only_parent(store, "second-try").info.run_id
    assert moved.data.tags[tags.DVC_EXPERIMENT] == trial.data.tags[tags.DVC_EXPERIMENT] == "second-try"
    assert trial.data.tags[tags.NESTED_IN] == moved.info.run_id
    assert store.children_of(EXPERIMENT, former.info.run_id) == []
    assert only_parent(store, "first-try").info.status == "KILLED"


def test_a_training_that_goes_on_outside_of_experiments_forgets_the_experiment(
    tracker: MakeTracker,
    experiment: BeginExperiment,
    shared_workspace: Workspace,
    store: Store,
    ship: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(KeyboardInterrupt), tracker(experiment("left")) as recording:
        recording.run("baseline", "leaves")
        raise KeyboardInterrupt
    monkeypatch.delenv("DVC_EXP_NAME")
    monkeypatch.delenv("DVC_EXP_BASELINE_REV")
    with tracker(shared_workspace) as recording:
        recording.run("baseline", "leaves")
    ship()
    left = child(store, "leaves").data.tags
    assert tags.DVC_EXPERIMENT not in left
    assert tags.DVC_BASELINE not in left


@pytest.fixture
def evaluated(tracker: MakeTracker, model_folder: Path) -> Evaluate:
    """Records the training of a model and what evaluate finds out about it."""

    def evaluate(workspace: Workspace, digest: str, ends: Exception | None = None) -> None:
        with tracker(workspace) as recording:
            training = recording.run("baseline", f"train {digest}")
            training.log_model(model_folder, digest)
        with tracker(workspace, "evaluate") as recording:
            run = recording.run("evaluate", f"evaluate {digest}")
            run.set_tags({tags.BEST_CANDIDATE: "tuned", f"{tags.MODEL_DIGEST}.tuned": digest})
            run.log_metrics({"tuned/test_accuracy": 0.75, "tuned/test_ece": 0.05, "baseline/test_ece": 1})
            if ends is not None:
                recording.fail_runs("changed while the stage ran: params.yaml")
                raise ends
            recording.run_of_model(digest).log_metrics({"test_accuracy": 0.75})

    return evaluate


def test_a_parent_shows_the_scores_of_its_best_candidate(
    evaluated: Evaluate, experiment: BeginExperiment, store: Store, ship: Callable[[], None]
) -> None:
    evaluated(experiment("scored"), "1" * 64)
    ship()
    parent = only_parent(store, "scored")
    assert parent.data.metrics == {"test_accuracy": 0.75, "test_ece": 0.05}
    assert parent.data.tags[tags.BEST_CANDIDATE] == "tuned"
    assert parent.data.tags[tags.BEST_MODEL_DIGEST] == "1" * 64
    assert tags.MODEL_DIGEST not in parent.data.tags
    assert child(store, f"train {'1' * 64}").data.metrics["test_accuracy"] == 0.75


def test_a_stage_whose_inputs_have_changed_leaves_failed_runs_and_no_scores(
    evaluated: Evaluate, experiment: BeginExperiment, store: Store, ship: Callable[[], None]
) -> None:
    with pytest.raises(RuntimeError):
        evaluated(experiment("spoilt"), "2" * 64, RuntimeError())
    ship()
    run, parent = child(store, f"evaluate {'2' * 64}"), only_parent(store, "spoilt")
    assert (run.info.status, parent.info.status) == ("FAILED", "FAILED")
    assert run.data.tags[tags.FAILURE] == "changed while the stage ran: params.yaml"
    assert run.data.metrics["duration_seconds"] == (run.info.end_time - run.info.start_time) / 1000
    assert parent.data.metrics == {}
    assert child(store, f"train {'2' * 64}").info.status == "FINISHED"

    evaluated(experiment("spoilt"), "2" * 64)  # and once more, with what was put back
    ship()
    run = child(store, f"evaluate {'2' * 64}")
    assert (run.info.status, tags.FAILURE in run.data.tags) == ("FINISHED", False)
    assert only_parent(store, "spoilt").data.metrics["test_accuracy"] == 0.75


def test_an_evaluation_is_added_to_the_training_of_its_own_experiment(
    tracker: MakeTracker,
    experiment: BeginExperiment,
    store: Store,
    ship: Callable[[], None],
    model_folder: Path,
) -> None:
    for name in ("own", "other"):
        with tracker(experiment(name)) as recording:
            run = recording.run("baseline", f"{name} training")
            run.log_model(model_folder, "3" * 64)
    with tracker(experiment("own"), "evaluate") as recording:
        recording.run("evaluate", "own evaluation")
        recording.run_of_model("3" * 64).log_metrics({"test_accuracy": 0.5})
    ship()
    assert child(store, "own training").data.metrics["test_accuracy"] == 0.5
    assert "test_accuracy" not in child(store, "other training").data.metrics
