"""What must hold when much happens at once, or nothing goes on: many first starts, a queue that is shot."""

import json
import re
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline.foundation.workspace import Workspace
from pipeline.tracking import tags
from pipeline.tracking.journal.journal import pending_journals
from tests.end_to_end.clones import READ_RUNS, Clone
from tests.end_to_end.processes import kill_processes_below

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

FIRST_STARTS = 8

STAGE = """
    import sys
    from pathlib import Path
    from pipeline.foundation.workspace import Workspace
    from pipeline.tracking.journal.journal_tracker import JournalTracker

    number, home = sys.argv[1], Path.cwd()
    print("ready", flush=True)
    sys.stdin.read()  # until all are ready
    with JournalTracker(Workspace(home, home), "train_baseline", "tests", {}) as tracker:
        run = tracker.run("baseline", f"key {number}")
        run.log_params({"seed": number})
        run.log_metrics({"val_loss": 0.5}, step=1)
"""

EPOCHS = 200
"""Of the experiment that is killed: some seconds of training, in which there is time to kill it."""

EPOCHS_OF_RUNNING = """
SELECT COUNT(*) FROM metrics JOIN runs USING (run_uuid)
WHERE runs.status = 'RUNNING' AND metrics.key = 'val_loss'
"""


def test_eight_processes_open_a_fresh_store_at_once(pristine: Clone, project: Path, tmp_path: Path) -> None:
    home = Clone(tmp_path, {**pristine.environment, "PYTHONPATH": str(project)})
    outputs = outputs_of_simultaneous(FIRST_STARTS, textwrap.dedent(STAGE), home)

    # With eight at once MLflow may take its time, and that may be said; nothing else.
    patience = re.compile(r"train_baseline: .*(waiting for MLflow to take in|MLflow is still being filled).*")
    assert [line for output in outputs for line in output.splitlines() if not patience.fullmatch(line)] == []
    journal = Workspace(root=tmp_path, home=tmp_path).journal
    wait_until(lambda: pending_journals(journal) == [])
    runs = stored_runs(home)
    assert {run["status"] for run in runs} == {"FINISHED"}
    trainings = [run for run in runs if run["name"] == "baseline"]
    assert sorted(run["params"]["seed"] for run in trainings) == [str(each) for each in range(FIRST_STARTS)]
    assert [run["epochs"] for run in trainings] == [[1]] * FIRST_STARTS
    # They belong together, and none has made a parent of its own beside those of the others.
    (parent,) = [run for run in runs if run not in trainings]
    assert {run["tags"]["mlflow.parentRunId"] for run in trainings} == {parent["id"]}
    assert query(home, "SELECT name FROM experiments WHERE name != 'Default'") == [("tests",)]


def outputs_of_simultaneous(count: int, source: str, home: Clone) -> list[str]:
    """Start `count` processes of a Python source, let all go on at one moment, return what each printed."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", source, str(number)],
            cwd=home.folder,
            env=home.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(count)
    ]
    for process in processes:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == "ready\n", line + process.stdout.read()
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    outputs = []
    for process in processes:
        with process:
            assert process.stdout is not None
            outputs.append(process.stdout.read())
        assert process.returncode == 0, outputs[-1]
    return outputs


@pytest.fixture
def queue_clone(clone: Clone) -> Iterator[Clone]:
    """A clone in which no process outlives the test."""
    yield clone
    kill_processes_below(clone.folder)


def test_a_queue_whose_worker_was_killed_is_taken_up_again(queue_clone: Clone) -> None:
    clone = queue_clone
    long = ("--name", "long", "--set-param", f"train_baseline.epochs={EPOCHS}", "train_baseline")
    clone.dvc("exp", "run", "--queue", *long)
    clone.dvc("exp", "run", "--queue", "--name", "short", "--set-param", "seed=1", "train_baseline")
    start_queue(clone)
    wait_until(lambda: query(clone, EPOCHS_OF_RUNNING)[0][0] > 5)
    kill_processes_below(clone.folder)

    # Nobody is left who could say that the run has ended, and DVC does not look whether the process lives.
    assert "RUNNING" in statuses(clone)
    assert queue(clone) == {"long": "Running", "short": "Queued"}

    sync(clone)
    assert statuses(clone) == {"FINISHED", "KILLED"}
    killed = runs_of(clone, "long")
    assert {name: run["status"] for name, run in killed.items()} == {"long": "KILLED", "baseline": "KILLED"}
    known = stored_runs(clone)
    assert "MLflow is up to date." in sync(clone)
    assert stored_runs(clone) == known

    # DVC never repeats an experiment by itself: it is queued again, with the settings that it had.
    clone.dvc("queue", "kill", "long")
    assert queue(clone) == {"long": "Failed", "short": "Queued"}
    clone.dvc("queue", "remove", "long")
    clone.dvc("exp", "run", "--queue", *long)
    start_queue(clone)
    wait_until(lambda: not {"Queued", "Running"} & set(queue(clone).values()), lambda: what_happened(clone))

    assert queue(clone) == {"long": "Success", "short": "Success"}
    assert "going on after epoch" in clone.dvc("queue", "logs", "long")
    sync(clone)
    assert statuses(clone) == {"FINISHED"}
    # The same runs have gone on: no epoch is missing, and nothing is there twice.
    resumed = runs_of(clone, "long")
    assert {name: run["id"] for name, run in resumed.items()} == {
        name: run["id"] for name, run in killed.items()
    }
    assert sorted(set(resumed["baseline"]["epochs"])) == list(range(1, EPOCHS + 1))
    assert runs_of(clone, "short")["baseline"]["params"]["seed"] == "1"


def start_queue(clone: Clone) -> None:
    """`dvc queue start`; not through a pipe, which the worker would hold open until the queue has ended."""
    command = [sys.executable, "-m", "dvc", "queue", "start"]
    with (clone.folder.parent / "queue.log").open("ab") as log:
        subprocess.run(command, cwd=clone.folder, env=clone.environment, stdout=log, stderr=log, check=True)


def queue(clone: Clone) -> dict[str, str]:
    """Status by experiment name, as `dvc queue status` shows it."""
    table = clone.dvc("queue", "status")
    rows = re.findall(r"^[0-9a-f]{7}\s+(\S+)\s+.*\s(\w+)\s*$", table, re.MULTILINE)
    return dict(rows)


def sync(clone: Clone) -> str:
    return clone.run(sys.executable, "-m", "pipeline", "sync")


def runs_of(clone: Clone, experiment: str) -> dict[str, dict[str, Any]]:
    """What MLflow has of a DVC experiment, by name: its training, and the parent named as the experiment."""
    found = [run for run in stored_runs(clone) if run["tags"].get(tags.DVC_EXPERIMENT) == experiment]
    by_name = {run["name"]: run for run in found}
    assert len(by_name) == len(found)
    return by_name


def stored_runs(clone: Clone) -> list[dict[str, Any]]:
    """What the clone's store knows at this moment, without bringing it up to date first."""
    output = clone.run(sys.executable, "-c", READ_RUNS, f"sqlite:///{clone.folder / 'mlflow.db'}")
    runs: list[dict[str, Any]] = json.loads(output.splitlines()[-1])
    return runs


def statuses(clone: Clone) -> set[str]:
    """The statuses of all runs in the clone's store."""
    return {status for (status,) in query(clone, "SELECT DISTINCT status FROM runs")}


def query(clone: Clone, statement: str) -> list[tuple[Any, ...]]:
    # To be written to as well: SQLite first takes back what a killed process has left half done.
    address = f"{(clone.folder / 'mlflow.db').as_uri()}?mode=rw"
    with closing(sqlite3.connect(address, uri=True)) as database:
        return database.execute(statement).fetchall()


def what_happened(clone: Clone) -> str:
    logs = [
        clone.run(sys.executable, "-m", "dvc", "queue", "logs", name, check=False) for name in queue(clone)
    ]
    return "\n".join([clone.dvc("queue", "status"), *logs])


def wait_until(condition: Callable[[], object], told: Callable[[], str] = lambda: "") -> None:
    """Wait for a condition, at most some minutes; `told` says what there is to say when it does not come."""
    until = time.monotonic() + 480
    while not condition():
        assert time.monotonic() < until, f"it does not happen\n{told()}"
        time.sleep(0.2)
