"""MLflow's database is there whole, or not at all, whatever happens while its tables are made."""

import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest

from pipeline.foundation.workspace import Workspace
from pipeline.tracking.own_database import make_database
from pipeline.tracking.store import Store, StoreUnavailableError

# MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "mlflow.db"
    make_database(path, path.parent)
    return path


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def changed(database: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def works(workspace: Workspace) -> bool:
    with Store(workspace) as store:
        return bool(store.experiment_id("tests"))


def test_a_new_one_is_whole_and_alone(made: Path) -> None:
    assert [path.name for path in made.parent.iterdir()] == ["mlflow.db"]


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The database as it is after each step of MLflow, which makes it in place."""
    folder = tmp_path_factory.mktemp("steps")
    code = """
        import sqlite3, sys
        from pathlib import Path
        from pipeline.tracking.client import new_client
        from sqlalchemy import Engine, event

        path = Path("mlflow.db")

        @event.listens_for(Engine, "commit")
        def keep(connection):
            number = len(list(Path("steps").iterdir()))
            Path(f"steps/{number:04d}").write_bytes(path.read_bytes())

        new_client("sqlite:///mlflow.db").search_experiments(max_results=1)
    """
    (folder / "steps").mkdir()
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=folder, check=True, env=ENVIRONMENT)
    return [path.read_bytes() for path in sorted((folder / "steps").iterdir())]


def test_one_that_was_left_half_made_is_made_again(workspace: Workspace, steps: list[bytes]) -> None:
    assert len(steps) > 10
    for content in steps[1 :: len(steps) // 3]:
        workspace.tracking_database.write_bytes(content)
        assert works(workspace)


def test_what_was_not_taken_back_of_the_old_one_does_not_get_into_the_new_one(
    workspace: Workspace, made: Path
) -> None:
    database = workspace.tracking_database
    shutil.copy(made, database)
    changed(database, "PRAGMA user_version = 0")
    code = """
        import os, signal, sqlite3
        connection = sqlite3.connect("mlflow.db", isolation_level=None)
        connection.execute("PRAGMA cache_size = 1")  # so that changes reach the file before they are whole
        connection.execute("BEGIN")
        for number in range(200):
            connection.execute(f"CREATE TABLE half_{number} (text)")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=workspace.root, check=False)
    assert database.with_name("mlflow.db-journal").exists()
    assert works(workspace)
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'half%'").fetchall() == []


def test_somebody_elses_is_left_alone(workspace: Workspace) -> None:
    changed(
        workspace.tracking_database,
        "CREATE TABLE photographs (name)",
        "INSERT INTO photographs VALUES ('sea')",
    )
    with Store(workspace) as store, suppress(StoreUnavailableError):
        assert store.client
    with closing(sqlite3.connect(workspace.tracking_database)) as connection:
        assert connection.execute("SELECT name FROM photographs").fetchall() == [("sea",)]


def test_an_empty_file_is_made_a_database(workspace: Workspace) -> None:
    workspace.tracking_database.touch()
    assert works(workspace)


def test_one_with_runs_is_never_made_again(workspace: Workspace, made: Path) -> None:
    database = workspace.tracking_database
    shutil.copy(made, database)
    with Store(workspace) as store:
        store.client.create_run(store.experiment_id("tests"))
    changed(database, "DELETE FROM alembic_version", "DROP TABLE assessments", "PRAGMA user_version = 0")
    with Store(workspace) as store, suppress(StoreUnavailableError):
        assert store.client
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT COUNT(*) FROM runs").fetchall() == [(1,)]


def test_what_to_do_with_a_damaged_one_is_said(workspace: Workspace) -> None:
    workspace.tracking_database.write_bytes(b"no database, but somebody's file" * 100)
    with Store(workspace) as store, pytest.raises(StoreUnavailableError, match=r"move mlflow\.db away"):
        assert store.client
    assert workspace.tracking_database.read_bytes().startswith(b"no database")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.05, 0.3, 0.6, 1.0, 1.5])
def test_a_kill_while_it_is_made_leaves_nothing_that_cannot_be_opened(
    workspace: Workspace, project: Path, seconds: float
) -> None:
    code = """
        import sys
        from pathlib import Path
        from pipeline.tracking.own_database import make_database

        import mlflow.store.tracking.sqlalchemy_store
        print("made", flush=True)
        make_database(Path(sys.argv[1]), Path(sys.argv[1]).parent / ".journal")
    """
    workspace.journal.mkdir()
    command = [sys.executable, "-c", textwrap.dedent(code), str(workspace.tracking_database)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=project)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(seconds)
    process.kill()
    process.communicate()
    assert works(workspace)
    assert list(workspace.journal.glob(".mlflow.db*")) == []
