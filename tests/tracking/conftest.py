"""Recording and delivering in one process, so that the tests can look at every step."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.foundation.workspace import Workspace
from pipeline.tracking.journal.delivery import deliver
from pipeline.tracking.journal.journal import Journal, pending_journals
from pipeline.tracking.journal.journal_tracker import JournalTracker
from pipeline.tracking.store import Store

EXPERIMENT = "tests"

# What the fixtures below are to the tests.
MakeTracker = Callable[..., JournalTracker]
JournalOf = Callable[[Workspace], Journal]
ReadEvents = Callable[[Workspace], list[dict[str, Any]]]
StartScript = Callable[..., subprocess.Popen[str]]
RunScript = Callable[..., tuple[str, str, int]]


@pytest.fixture(scope="module")
def shared_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One workspace, with one store, for all tests of a module: making a store takes seconds."""
    folder = tmp_path_factory.mktemp("project")
    return Workspace(root=folder, home=folder)


@pytest.fixture(scope="module")
def store(shared_workspace: Workspace) -> Iterator[Store]:
    with Store(shared_workspace) as opened:
        yield opened


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> MakeTracker:
    """Makes trackers that write journals and start no process to deliver them."""
    monkeypatch.setattr(JournalTracker, "_start_delivery", lambda self, writer: None)

    def make(workspace: Workspace, stage: str = "train_baseline", **params: object) -> JournalTracker:
        return JournalTracker(workspace, stage, EXPERIMENT, params)

    return make


@pytest.fixture
def ship(shared_workspace: Workspace, store: Store) -> Callable[[], None]:
    """Delivers everything that is there, oldest first."""

    def ship_all() -> None:
        for journal in pending_journals(shared_workspace.journal):
            deliver(journal, store)

    return ship_all


@pytest.fixture
def journal_of() -> JournalOf:
    """The only journal of a workspace."""

    def only(workspace: Workspace) -> Journal:
        (journal,) = pending_journals(workspace.journal)
        return journal

    return only


@pytest.fixture
def events(journal_of: JournalOf) -> ReadEvents:
    """Reads the events of the only journal there is."""
    return lambda workspace: [
        json.loads(line) for line in journal_of(workspace).events.read_text().splitlines()
    ]


@pytest.fixture
def start_script(project: Path) -> StartScript:
    """Starts Python source as a process of its own that finds the pipeline."""

    def start(source: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
        inherited = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(source)],
            cwd=folder,
            env={**inherited, "PYTHONPATH": str(project), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def run_script(start_script: StartScript) -> RunScript:
    """Runs such a process to its end; returns its stdout, its stderr and its exit code."""

    def run(source: str, folder: Path, **environment: str) -> tuple[str, str, int]:
        process = start_script(source, folder, **environment)
        output, errors = process.communicate(timeout=120)
        return output, errors, process.returncode

    return run


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A trained-model folder whose network nobody opens here."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.keras").write_bytes(b"weights")
    card = {
        "candidate": "baseline",
        "network": "fast_cnn",
        "preprocessing": {"image_size": 8, "resize": "pad", "color": "rgb", "classes": ["cat", "dog"]},
    }
    (folder / "card.json").write_text(json.dumps(card))
    return folder
