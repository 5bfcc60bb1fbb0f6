"""The project's own SQLite database of runs: made so that no kill can spoil it, and asked without MLflow."""

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from pipeline.foundation.files import disk_errors_explained
from pipeline.foundation.workspace import Workspace
from pipeline.tracking.client import close_client, new_client

_MADE_WHOLE = 1
"""What our databases have as SQLite's user_version, which MLflow does not use."""
_ROWS_OF_NEW = {"alembic_version": 1, "experiments": 1, "workspaces": 1}
"""Rows that MLflow puts into the tables of a new database."""
_LOCKED_SECONDS = 30.0  # that another process may have it locked


def surely_nothing_runs(workspace: Workspace) -> bool:
    """Whether no run can be RUNNING in the store, asked without MLflow, whose import takes seconds."""
    if "MLFLOW_TRACKING_URI" in os.environ:
        return False
    if not workspace.tracking_database.exists():
        return True
    try:
        return not _rows(workspace, "SELECT 1 FROM runs WHERE status = 'RUNNING' LIMIT 1")
    except sqlite3.Error:
        return False


def is_in_the_bin(workspace: Workspace, experiment: str) -> bool:
    """Whether an experiment was deleted in the project's own database; of a server this is not asked."""
    if "MLFLOW_TRACKING_URI" in os.environ or not workspace.tracking_database.exists():
        return False
    query = "SELECT 1 FROM experiments WHERE name = ? AND lifecycle_stage = 'deleted'"
    try:
        return bool(_rows(workspace, query, experiment))
    except sqlite3.Error:
        return False


def runs_fingerprint(workspace: Workspace) -> list[int | None]:
    """Number of runs in the project's own database, latest start and latest end; empty without a database.

    It differs as soon as a run was added, and where the database was deleted and made anew.
    """
    if not workspace.tracking_database.exists():
        return []
    try:
        [found] = _rows(workspace, "SELECT COUNT(*), MAX(start_time), MAX(end_time) FROM runs")
    except sqlite3.Error:
        return []
    return list(found)


def places_of_artifacts(workspace: Workspace) -> list[str]:
    """Where the experiments that have runs keep their artifacts, by the project's own database.

    Raises sqlite3.Error where it cannot be read.
    """
    query = (
        "SELECT DISTINCT artifact_location FROM experiments"
        " WHERE experiment_id IN (SELECT experiment_id FROM runs)"
    )
    return [location for (location,) in _rows(workspace, query)]


def _rows(workspace: Workspace, query: str, *values: str) -> list[tuple[Any, ...]]:
    """What the project's own database answers, read without MLflow. Raises sqlite3.Error."""
    address = f"{workspace.tracking_database.as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, uri=True)) as database:
        return database.execute(query, values).fetchall()


def make_database(path: Path, scratch: Path) -> None:
    """Make MLflow's tables in a new SQLite database, or in place of one that was left half made.

    They are made in `scratch`, a folder of the same file system: a kill, or a full disk, leaves nothing at
    `path` that could not be opened again.
    """
    if path.exists() and not _may_be_made_again(path):
        return
    with disk_errors_explained(path):
        for left in scratch.glob(f".{path.name}.*"):  # by a process that was killed here
            shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(dir=scratch, prefix=f".{path.name}."))
        try:
            client = new_client(f"sqlite:///{folder / path.name}")
            client.search_experiments(max_results=1)
            close_client(client)
            with closing(sqlite3.connect(folder / path.name)) as database:
                database.execute(f"PRAGMA user_version = {_MADE_WHOLE}")
            # Of the old one; SQLite would apply them to the new one.
            for suffix in ("-journal", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            (folder / path.name).replace(path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _may_be_made_again(path: Path) -> bool:
    """Whether a database was not made here, and has no row but those that each new one has.

    MLflow makes tables one after the other; killed meanwhile, it can never open what it has left.
    """
    if path.stat().st_size == 0:
        return True
    try:
        # Not read-only: SQLite first takes back what a killed process has left in the middle.
        with closing(sqlite3.connect(path, timeout=_LOCKED_SECONDS)) as database:
            if database.execute("PRAGMA user_version").fetchone() == (_MADE_WHOLE,):
                return False
            names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            row = 'SELECT 1 FROM "{}" LIMIT 1 OFFSET {}'  # nosec: the names are those that the database has
            queries = [row.format(name, _ROWS_OF_NEW.get(name, 0)) for (name,) in names]
            return not any(database.execute(query).fetchone() for query in queries)
    except sqlite3.Error:
        return False
