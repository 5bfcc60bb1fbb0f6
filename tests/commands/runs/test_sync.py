"""`sync`: what it finds to do by itself, and that it sees in a moment when there is nothing."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from ruamel.yaml import YAML

from pipeline.commands.runs.sync import bring_up_to_date
from pipeline.foundation.workspace import Workspace
from pipeline.repository.repository import Repository
from pipeline.repository.stage_outputs import StageOutputs
from pipeline.tracking import tags
from pipeline.tracking.journal.journal_tracker import JournalTracker
from pipeline.tracking.runs.matching import Matched, RunMatcher
from pipeline.tracking.store import Store
from tests.tracking.made_outputs import write_project

UP_TO_DATE = ["MLflow is up to date."]
EXPERIMENT = "image-classification"  # as params.yaml calls it

# MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


class Project:
    """A project whose results lie in git, which stands for DVC's cache, and its store."""

    def __init__(self, folder: Path, params: dict[str, Any]) -> None:
        self.folder = folder
        self.workspace = Workspace(root=folder, home=folder)
        self.params = params

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        command = ["git", "-C", str(self.folder), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, generation: int, **differences: Any) -> str:
        write_project(self.folder, {**self.params, **differences}, generation)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "results")
        return self.git("rev-parse", "HEAD")

    def add_experiment(self, name: str, generation: int, **differences: Any) -> str:
        """An experiment as DVC keeps it; the working tree stays at its baseline."""
        baseline = self.git("rev-parse", "HEAD")
        commit = self.commit(generation, **differences)
        self.git("update-ref", f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}", commit)
        self.git("reset", "--quiet", "--hard", baseline)
        return commit

    def sync(self) -> list[str]:
        said: list[str] = []
        with Store(self.workspace) as store:
            self.failure = bring_up_to_date(self.workspace, store, said.append)
            self.store_was_opened = store.is_open
        return said

    def runs(self, store: Store, name: str) -> list[str]:
        """Names of the runs of an experiment."""
        found = store.find_runs(EXPERIMENT, {tags.DVC_EXPERIMENT: name})
        return sorted(run.info.run_name for run in found)


@pytest.fixture(scope="module")
def module_project(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One project with one store for most tests: making a store takes seconds."""
    params = YAML(typ="safe").load((project / "params.yaml").read_text())
    made = Project(tmp_path_factory.mktemp("project"), params)
    made.git("init", "--quiet")
    (made.folder / ".gitignore").write_text("/.journal/\n/mlflow.db*\n/mlartifacts/\n")
    made.commit(generation=0)
    return made


@pytest.fixture(autouse=True)
def _git_is_dvcs_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def copy_output(self: Repository, revision: str, path: str, target: Path) -> bool:
        command = ["git", "-C", str(self.folder), "archive", revision, path]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode != 0:
            return False
        with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
            tar.extractall(folder, filter="data")
            shutil.move(Path(folder) / path, target)
        return True

    monkeypatch.setattr(Repository, "copy_output", copy_output)


@pytest.fixture(scope="module")
def store(module_project: Project) -> Iterator[Store]:
    with Store(module_project.workspace) as opened:
        yield opened


@pytest.fixture
def synced(module_project: Project, store: Store) -> Project:
    """The project when there is nothing to do."""
    module_project.sync()
    assert module_project.sync() == UP_TO_DATE
    return module_project


def test_a_new_store_gets_the_runs_of_the_working_tree(module_project: Project, store: Store) -> None:
    lines = module_project.sync()
    stages = "train_baseline, train_transfer, tune, evaluate"
    assert lines == [
        f"restoring runs of the working tree from what DVC keeps: {stages}",
        "4 runs restored: DVC had the results, and nothing was executed.",
    ]
    head = module_project.git("rev-parse", "HEAD")
    found = store.find_runs(EXPERIMENT, {tags.GIT_COMMIT: head})
    names = {run.info.run_name for run in found}
    assert names == {f"workspace-{head[:7]}", "baseline", "transfer", "tuned", "evaluate"}
    assert module_project.sync() == UP_TO_DATE


def test_a_deleted_store_is_noticed(
    synced: Project, modules_of_sync: Callable[[Path], tuple[str, str]], tmp_path: Path
) -> None:
    folder = tmp_path / "clone"
    shutil.copytree(synced.folder, folder)
    copy = Project(folder, synced.params)
    copy.sync()
    assert copy.sync() == UP_TO_DATE
    assert not copy.store_was_opened
    copy.workspace.tracking_database.unlink()
    assert "4 runs restored" in modules_of_sync(folder)[0]


def test_an_experiment_that_executed_nothing_gets_its_runs(synced: Project, store: Store) -> None:
    commit = synced.add_experiment("restored", generation=1, lr=0.3)
    assert "4 runs restored: DVC had the results, and nothing was executed." in synced.sync()
    assert synced.runs(store, "restored") == ["baseline", "evaluate", "restored", "transfer", "tuned"]
    (parent,) = store.find_runs(EXPERIMENT, {tags.DVC_EXPERIMENT: "restored", tags.KIND: "experiment"})
    assert parent.data.params["lr"] == "0.3"
    assert parent.data.tags[tags.DVC_COMMIT] == commit
    assert synced.store_was_opened
    assert synced.sync() == UP_TO_DATE
    assert not synced.store_was_opened


def test_an_experiment_is_looked_at_once(synced: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    synced.add_experiment("first", generation=2, lr=0.4)
    synced.sync()
    looked_at = []
    match = RunMatcher.match_experiment

    def noted(self: RunMatcher, outputs: StageOutputs) -> Matched:
        looked_at.append(outputs.experiment)
        return match(self, outputs)

    monkeypatch.setattr(RunMatcher, "match_experiment", noted)
    synced.add_experiment("second", generation=3, lr=0.5)
    synced.sync()
    assert looked_at == ["second"]


def test_results_whose_files_are_gone_are_named_and_tried_again_when_something_has_changed(
    synced: Project, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced.add_experiment("pulled", generation=4, lr=0.6)
    with monkeypatch.context() as context:
        context.setattr(Repository, "copy_output", lambda self, revision, path, target: False)
        lines = synced.sync()
    assert lines[-1] == (
        "Not restored, as DVC does not have the files any more: "
        + ", ".join(f"{name} of experiment pulled" for name in ("baseline", "transfer", "tuned", "evaluate"))
        + "."
    )
    assert synced.sync() == UP_TO_DATE
    assert synced.runs(store, "pulled") == []
    # `dvc fetch` has brought them, and then there was something else to do.
    synced.workspace.params.write_text(synced.workspace.params.read_text() + "# a comment\n")
    synced.sync()
    assert synced.runs(store, "pulled") == ["baseline", "evaluate", "pulled", "transfer", "tuned"]
    synced.git("checkout", "--quiet", "params.yaml")


def test_while_a_stage_runs_the_working_tree_is_left_alone(
    synced: Project, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JournalTracker, "_start_delivery", lambda self, writer: None)
    write_project(synced.folder, {**synced.params, "lr": 0.8}, generation=6)
    tracker = JournalTracker(synced.workspace, "train_baseline", EXPERIMENT, {})
    with tracker:
        tracker.run("baseline", "running")
        assert synced.sync() == ["1 of the stages that run now deliver by themselves."]
    assert "4 runs restored: DVC had the results, and nothing was executed." in synced.sync()
    synced.git("reset", "--quiet", "--hard")


def test_two_at_once_do_it_one_after_the_other(synced: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = FileLock(synced.workspace.journal / ".sync.lock")
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        lock.release()

    lock.acquire()
    synced.workspace.params.write_text(synced.workspace.params.read_text() + "# a comment\n")
    with Store(synced.workspace) as store:
        bring_up_to_date(synced.workspace, store, say)
    assert said == ["another sync is at work; waiting for it to end", *UP_TO_DATE]
    synced.git("checkout", "--quiet", "params.yaml")


def test_a_store_that_cannot_be_reached_is_said_and_nothing_is_forgotten(
    synced: Project, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced.add_experiment("unreachable", generation=7, lr=0.9)
    with monkeypatch.context() as context:
        context.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        lines = synced.sync()
        assert synced.failure == "nothing answers at http://127.0.0.1:9"
        assert lines == ["MLflow could not be reached (nothing answers at http://127.0.0.1:9)."]
    synced.sync()
    assert synced.runs(store, "unreachable") == ["baseline", "evaluate", "transfer", "tuned", "unreachable"]


@pytest.fixture
def modules_of_sync(project: Path) -> Callable[[Path], tuple[str, str]]:
    """Runs a sync in a process of its own; returns its output and which slow packages it imported."""

    def run(folder: Path) -> tuple[str, str]:
        source = """
import sys
from pipeline.__main__ import main
main(["sync"])
print(sorted({"mlflow", "dvc", "numpy", "matplotlib", "tensorflow"} & set(sys.modules)))
"""
        environment = {**os.environ, "PYTHONPATH": str(project)}
        command = [sys.executable, "-c", source]
        done = subprocess.run(
            command, cwd=folder, env=environment, check=True, capture_output=True, text=True
        )
        *lines, modules = done.stdout.splitlines()
        return "\n".join(lines), modules

    return run


def test_with_nothing_to_do_it_imports_nothing_slow(
    synced: Project, modules_of_sync: Callable[[Path], tuple[str, str]]
) -> None:
    assert modules_of_sync(synced.folder) == ("MLflow is up to date.", "[]")
