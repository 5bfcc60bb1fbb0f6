"""Clones of the project to run DVC and the pipeline in, and what MLflow's store under one knows.

Nothing here reads or writes the workspace, the configuration or the caches of the person who runs the tests.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READ_RUNS = """
import json, sys, mlflow
client = mlflow.MlflowClient(tracking_uri=sys.argv[1])
experiments = [experiment.experiment_id for experiment in client.search_experiments()]
runs = client.search_runs(experiments)
print(json.dumps([
    {
        "id": run.info.run_id,
        "name": run.info.run_name,
        "status": run.info.status,
        "params": run.data.params,
        "tags": run.data.tags,
        "epochs": [point.step for point in client.get_metric_history(run.info.run_id, "val_loss")],
    }
    for run in runs
]))
"""


@dataclass(frozen=True)
class Clone:
    """A clone of the project with a home, a configuration and caches of its own."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str, check: bool = True) -> str:
        """Standard output and error of a command that ends well."""
        result = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=600,
        )
        assert not check or result.returncode == 0, result.stdout[-5000:]
        return result.stdout

    def start(self, *command: str) -> subprocess.Popen[str]:
        """A command in a group of processes of its own, its output and errors in one pipe."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def dvc(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments)

    def dvc_killed_at(self, text: str, occurrence: int, *arguments: str, alone: bool = False) -> None:
        """Run dvc until it prints `text` again; then kill it, alone or with all that it has started."""
        process = self.start(sys.executable, "-m", "dvc", *arguments)
        assert process.stdout is not None
        output = []
        for line in process.stdout:
            output.append(line)
            if sum(text in line for line in output) == occurrence:
                (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
                break
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL, "".join(output)[-5000:]

    def runs(self) -> list[dict[str, Any]]:
        """What MLflow's store under this clone knows, once everything recorded has arrived there."""
        self.run(sys.executable, "-m", "pipeline", "sync")
        output = self.run(sys.executable, "-c", READ_RUNS, f"sqlite:///{self.folder / 'mlflow.db'}")
        found: list[dict[str, Any]] = json.loads(output.splitlines()[-1])
        return found

    def card(self, candidate: str) -> dict[str, Any]:
        file = self.folder / "models" / candidate / "card.json"
        card: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return card

    def lock(self) -> str:
        return (self.folder / "dvc.lock").read_text(encoding="utf-8")


def environment(home: Path) -> dict[str, str]:
    """Of a person who has never used git, DVC or MLflow on this machine."""
    foreign = ("DVC_", "GIT_", "MLFLOW_", "PYTEST_", "XDG_", "PYTHON")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(foreign)},
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "true",
        "DVC_SITE_CACHE_DIR": str(home / "site"),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{role}_NAME": "Test" for role in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{role}_EMAIL": "test@example.com" for role in ("AUTHOR", "COMMITTER")},
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def copied(clone: Clone, parent: Path) -> Clone:
    folder = parent / "clone"
    shutil.copytree(clone.folder, folder, symlinks=True)
    if (database := folder / "mlflow.db").exists():
        _move_artifacts(database, clone.folder, folder)
    return Clone(folder, clone.environment)


def _move_artifacts(database: Path, before: Path, after: Path) -> None:
    """MLflow keeps absolute paths; without this, copies would write into one folder of artifacts."""
    columns = {
        "experiments": "artifact_location",
        "runs": "artifact_uri",
        "logged_models": "artifact_location",
        "model_versions": "storage_location",
    }
    with closing(sqlite3.connect(database)) as connection, connection:
        for table, column in columns.items():
            connection.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(before), str(after))
            )
