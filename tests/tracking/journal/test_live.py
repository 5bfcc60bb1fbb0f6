"""The delivering process beside a running stage, servers that are down, and sync."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from mlflow.entities import Run

from pipeline.foundation.workspace import Workspace
from pipeline.tracking.journal.delivery import deliver
from pipeline.tracking.journal.journal import Journal, pending_journals
from pipeline.tracking.store import Store
from pipeline.tracking.synchronization import Synchronization, synchronize
from tests.tracking.conftest import EXPERIMENT, JournalOf, MakeTracker, RunScript, StartScript

# MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

STAGE = """
    import sys, time
    from pathlib import Path
    from pipeline.foundation.workspace import Workspace
    from pipeline.tracking.journal.journal_tracker import JournalTracker

    def wait_for(name):
        while not Path(name).exists():
            time.sleep(0.05)

    home = Path.cwd()
    with JournalTracker(Workspace(home, home), "train_baseline", "tests", {{}}) as tracker:
        run = tracker.run("baseline", "{key}")
        run.log_metrics({{"loss": 2.0}}, step=1)
        {waiting}
        run.log_metrics({{"loss": 1.0}}, step=2)
        run.log_text("text", "notes.txt")
"""


def stage(key: str, waiting: str = "pass") -> str:
    """The source of a small stage that does `waiting` between its two epochs."""
    return STAGE.format(key=key, waiting=waiting)


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it does not happen"
        time.sleep(0.1)


def runs(store: Store, key: str) -> list[Run]:
    return store.find_runs(EXPERIMENT, {"run_key": key})


def losses(store: Store, run_id: str) -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in store.client.get_metric_history(run_id, "loss")]


def test_curves_are_visible_while_the_stage_runs(
    shared_workspace: Workspace, store: Store, start_script: StartScript
) -> None:
    process = start_script(stage("live", "wait_for('go on')"), shared_workspace.root)
    wait_until(lambda: runs(store, "live") and losses(store, runs(store, "live")[0].info.run_id))
    assert process.poll() is None
    assert runs(store, "live")[0].info.status == "RUNNING"
    (shared_workspace.root / "go on").touch()
    output, errors = process.communicate(timeout=60)
    assert (errors, process.returncode) == ("", 0)
    assert output in ("", "train_baseline: waiting for MLflow to take in what was recorded\n")
    (run,) = runs(store, "live")
    assert run.info.status == "FINISHED"
    assert losses(store, run.info.run_id) == [(1, 2.0), (2, 1.0)]
    assert pending_journals(shared_workspace.journal) == []


def test_a_killed_stage_is_marked_by_the_process_that_survives_it(
    shared_workspace: Workspace, store: Store, start_script: StartScript
) -> None:
    process = start_script(stage("shot", "wait_for('never')"), shared_workspace.root)
    wait_until(lambda: runs(store, "shot"))
    process.kill()
    process.communicate()
    wait_until(lambda: runs(store, "shot")[0].info.status == "KILLED")
    wait_until(lambda: pending_journals(shared_workspace.journal) == [])


def test_what_a_killed_delivery_has_left_is_delivered_by_sync(
    shared_workspace: Workspace, store: Store, start_script: StartScript
) -> None:
    process = start_script(stage("abandoned", "wait_for('now')"), shared_workspace.root)
    wait_until(lambda: runs(store, "abandoned"))
    (delivering,) = psutil.Process(process.pid).children()
    delivering.kill()
    (shared_workspace.root / "now").touch()
    output, errors = process.communicate(timeout=60)
    assert (errors, process.returncode) == ("", 0)
    assert "1 run waits in .journal/; 'python -m pipeline sync' delivers what waits" in output
    said: list[str] = []
    done = synchronize(store, EXPERIMENT, said.append)
    assert done == Synchronization(delivered=1)
    assert "delivering 1 run" in said[0]
    (run,) = runs(store, "abandoned")
    assert run.info.status == "FINISHED"
    assert losses(store, run.info.run_id) == [(1, 2.0), (2, 1.0)]
    assert synchronize(store, EXPERIMENT, said.append) == Synchronization()


def test_runs_without_a_journal_are_killed_by_sync(
    tracker: MakeTracker, shared_workspace: Workspace, store: Store, journal_of: JournalOf
) -> None:
    with tracker(shared_workspace) as recording:
        recording.run("baseline", "orphan")
        journal = journal_of(shared_workspace)
        deliver(journal, store)
        alive = synchronize(store, EXPERIMENT, print)
        assert alive == Synchronization(recording=1)
        shutil.rmtree(journal.folder)
        assert synchronize(store, EXPERIMENT, print) == Synchronization(killed=1)
    assert runs(store, "orphan")[0].info.status == "KILLED"


def test_sync_makes_no_store_for_nothing(workspace: Workspace) -> None:
    assert synchronize(Store(workspace), EXPERIMENT, print).lines() == ["MLflow is up to date."]
    assert list(workspace.root.iterdir()) == []


@pytest.mark.slow
def test_two_processes_open_a_fresh_store_at_once(tmp_path: Path, start_script: StartScript) -> None:
    processes = [start_script(stage(f"key {number}"), tmp_path) for number in (1, 2)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert (errors, process.returncode) == ("", 0)
    workspace = Workspace(root=tmp_path, home=tmp_path)
    wait_until(lambda: pending_journals(workspace.journal) == [])
    with Store(workspace) as store:
        for key in ("key 1", "key 2"):
            assert [run.info.status for run in runs(store, key)] == ["FINISHED"]


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


@pytest.fixture
def start_server(tmp_path: Path, port: int) -> Iterator[Callable[[], None]]:
    """Starts a real MLflow server on `port`."""
    servers = []

    def start() -> None:
        folder = tmp_path / "server"
        folder.mkdir()
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        servers.append(
            subprocess.Popen(
                [*command, "--workers", "1", "--backend-store-uri", "sqlite:///mlflow.db"],
                cwd=folder,
                env={**environment, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

        def answers() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
                    return True
            except OSError:
                return False

        wait_until(answers)

    yield start
    for server in servers:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.mark.slow
def test_what_a_server_has_missed_is_delivered_by_sync(
    tmp_path: Path,
    port: int,
    start_server: Callable[[], None],
    run_script: RunScript,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = f"http://me:secret@127.0.0.1:{port}"
    project = tmp_path / "project"
    project.mkdir()
    began = time.monotonic()
    output, errors, code = run_script(stage("offline"), project, MLFLOW_TRACKING_URI=address)
    assert (errors, code) == ("", 0)
    assert time.monotonic() - began < 30
    reason = f"nothing answers at http://127.0.0.1:{port}"
    assert output.splitlines()[-1] == (
        f"train_baseline: MLflow does not have everything yet ({reason}): 1 run waits in .journal/; "
        "'python -m pipeline sync' delivers what waits, as does the next stage"
    )
    workspace = Workspace(root=project, home=project)
    (journal,) = pending_journals(workspace.journal)
    wait_until(lambda: not _is_locked(journal))
    assert not any(b"secret" in path.read_bytes() for path in journal.folder.rglob("*") if path.is_file())

    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with Store(workspace) as store:
        down = synchronize(store, EXPERIMENT, print)
        assert (down.waiting, down.unreachable) == (1, reason)

        start_server()
        assert synchronize(store, EXPERIMENT, print) == Synchronization(delivered=1)
        (run,) = runs(store, "offline")
        assert run.info.status == "FINISHED"
        assert losses(store, run.info.run_id) == [(1, 2.0), (2, 1.0)]
        artifacts = {item.path for item in store.client.list_artifacts(run.info.run_id)}
        assert artifacts == {"notes.txt", "system.json"}


def _is_locked(journal: Journal) -> bool:
    from filelock import Timeout

    try:
        with journal.delivery_lock().acquire(timeout=0):
            return False
    except Timeout:
        return True
