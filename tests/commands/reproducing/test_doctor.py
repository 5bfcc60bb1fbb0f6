"""`doctor`: what it says of a machine and of a checkout, and that it finds what is wrong."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline.commands.reproducing import doctor
from pipeline.foundation.workspace import Workspace
from pipeline.tracking.journal.journal import JournalWriter
from pipeline.tracking.provenance import system_information

STAGES: dict[str, dict[str, Any]] = {
    "fetch": {
        "cmd": "python -m pipeline.fetch",
        "params": ["fetch"],
        "deps": ["pipeline/fetch.py"],
        "outs": ["data/fetched"],
    },
    "train_baseline": {
        "cmd": "python -m pipeline.train_baseline",
        "params": ["lr", "train_baseline"],
        "deps": ["pipeline/train_baseline.py", "data/fetched"],
        "outs": ["models/baseline"],
        "metrics": [{"metrics/evaluate.json": {"cache": False}}],
    },
}

RECORD_A_RUN = """
import sys
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
client.create_run(client.create_experiment("project", artifact_location="file:///elsewhere"))
"""

IMPORTED = """
import sys
from pipeline.__main__ import main
code = main(["doctor"])
print("imported:", *sorted({name.partition(".")[0] for name in sys.modules}))
sys.exit(code)
"""

Usage = namedtuple("Usage", ["total", "used", "free"])


@dataclass
class Checkout:
    """A project of two stages that have been run; nothing is wrong with it."""

    folder: Path

    def examine(self) -> tuple[int, str]:
        """The exit code, and all that is said."""
        said: list[str] = []
        code = doctor.examine(Workspace(root=self.folder, home=self.folder), said.append)
        return code, "\n".join(said)

    def put(self, name: str, text: str = "") -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text(encoding="utf-8")
        assert old in text
        self.put(name, text.replace(old, new, 1))

    def rewrite(self, name: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the stages of a file of DVC's."""
        content = json.loads((self.folder / name).read_text(encoding="utf-8"))
        change(content["stages"])
        self.put(name, json.dumps(content))

    def git(self, *arguments: str) -> None:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)

    def keep_artifacts_in(self, place: str) -> None:
        with closing(sqlite3.connect(self.folder / "mlflow.db")) as database, database:
            database.execute("UPDATE experiments SET artifact_location = ?", [place])


def locked(values: dict[str, Any]) -> dict[str, Any]:
    """What DVC writes into dvc.lock for STAGES; JSON is YAML too."""
    return {
        name: {
            "cmd": stage["cmd"],
            "deps": [{"path": path, "md5": "0"} for path in stage["deps"]],
            "params": {"params.yaml": {key: values[key] for key in stage["params"]}},
            "outs": [
                {"path": path, "md5": "0.dir"} for path in [*stage["outs"], *stage.get("metrics", [{}])[0]]
            ],
        }
        for name, stage in STAGES.items()
    }


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's own, with a run."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    subprocess.run([sys.executable, "-c", RECORD_A_RUN, f"sqlite:///{path}"], check=True, capture_output=True)
    return path


@pytest.fixture
def checkout(project: Path, tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    made = Checkout(tmp_path / "project")
    params = (project / "params.yaml").read_text(encoding="utf-8")
    made.put("params.yaml", params)
    made.put("dvc.yaml", json.dumps({"stages": STAGES}))
    made.put("dvc.lock", json.dumps({"schema": "2.0", "stages": locked(YAML(typ="safe").load(params))}))
    made.put("requirements.lock", f"numpy=={np.__version__} \\\n    --hash=sha256:0\n")
    made.put("pipeline/fetch.py")
    made.put("metrics/evaluate.json", "{}")
    made.put(".gitignore", "/.venv\n/data\n/models\n/.journal\n/mlflow.db\n")
    made.git("init", "--quiet")
    made.git("add", ".")
    made.git("commit", "--quiet", "--message=All is well")
    made.put("data/fetched/images.tar")
    made.put("models/baseline/model.keras")
    shutil.copy(database, made.folder)
    made.keep_artifacts_in((made.folder / "mlartifacts").as_uri())
    made.put(".venv/requirements.lock", (made.folder / "requirements.lock").read_text(encoding="utf-8"))
    monkeypatch.setattr(sys, "prefix", str(made.folder / ".venv"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 9 * 10**11, 10**11))
    return made


def test_nothing_is_wrong_with_a_good_checkout(checkout: Checkout) -> None:
    code, said = checkout.examine()
    assert said.endswith("\nNothing is wrong.")
    assert code == 0
    assert "All is well" in said
    assert "as requirements.lock has them" in said
    assert "params.yaml fits (threads: 2, precision: float32)" in said
    assert "all 2 are here" in said
    assert "1 in mlflow.db" in said
    assert "1000 GB, 100 GB free" in said


def test_a_fresh_clone_is_good_too(checkout: Checkout) -> None:
    shutil.rmtree(checkout.folder / "data")
    shutil.rmtree(checkout.folder / "models")
    (checkout.folder / "mlflow.db").unlink()
    code, said = checkout.examine()
    assert code == 0, said
    assert "none yet; 'make repro' makes them" in said


def test_it_fits_a_terminal_of_80_columns(checkout: Checkout) -> None:
    checkout.replace("params.yaml", "\nlr:", "\nlearning_rate_of_the_optimizer:")
    checkout.replace("requirements.lock", "numpy==", "numpy==0.0.")
    checkout.rewrite("dvc.lock", lambda stages: stages.clear())
    _, said = checkout.examine()
    assert max(map(len, said.splitlines())) <= 80


FAULTS: dict[str, tuple[Callable[[Checkout], object], str, str]] = {
    "another list of packages was installed": (
        lambda checkout: checkout.put(".venv/requirements.lock", "numpy==1.0.0"),
        "an earlier requirements.lock was installed",
        "make setup",
    ),
    "a package of another version": (
        lambda checkout: checkout.put("requirements.lock", "numpy==1.0.0 \\\n    --hash=sha256:0\n"),
        f"numpy 1.0.0 there, {np.__version__} here",
        "make setup",
    ),
    "a misspelled param": (
        lambda checkout: checkout.replace("params.yaml", "network:", "netwrok:"),
        "train_baseline.netwrok: unknown key; did you mean 'network'?",
        "git diff params.yaml",
    ),
    "no params": (
        lambda checkout: (checkout.folder / "params.yaml").unlink(),
        "params.yaml is missing",
        "beside params.yaml",
    ),
    "a param that was changed since the last run": (
        lambda checkout: checkout.replace("params.yaml", "\nlr: 0.2", "\nlr: 0.1"),
        "made with other params. found: lr",
        "make repro",
    ),
    "a stage with another dependency": (
        lambda checkout: checkout.rewrite("dvc.yaml", lambda stages: stages["fetch"]["deps"].append("x")),
        "fetch (dependencies)",
        "make repro",
    ),
    "a stage with another output": (
        lambda checkout: checkout.rewrite("dvc.lock", lambda stages: stages["fetch"]["outs"].clear()),
        "fetch (outputs)",
        "make repro",
    ),
    "a stage that was never run": (
        lambda checkout: checkout.rewrite("dvc.lock", lambda stages: stages.pop("train_baseline")),
        "train_baseline was never run",
        "make repro",
    ),
    "a stage that was taken out": (
        lambda checkout: checkout.rewrite("dvc.yaml", lambda stages: stages.pop("train_baseline")),
        "train_baseline is gone",
        "make repro",
    ),
    "a conflict in dvc.lock": (
        lambda checkout: checkout.replace("dvc.lock", "{", "<<<<<<< HEAD\n{"),
        "dvc.lock is missing or cannot be read",
        "git checkout dvc.yaml dvc.lock",
    ),
    "an output that is missing": (
        lambda checkout: shutil.rmtree(checkout.folder / "models"),
        "1 of 2 outputs are missing. found: models/baseline",
        "dvc checkout",
    ),
    "a run that was not delivered": (
        lambda checkout: JournalWriter(checkout.folder / ".journal", "tune", "project").close(),
        "runs wait in .journal",
        "python -m pipeline sync",
    ),
    "a record that was refused": (
        lambda checkout: checkout.put(".journal/rejected.log"),
        "MLflow has refused some records",
        "read .journal/rejected.log, then delete it",
    ),
    "runs that are gone": (
        lambda checkout: (checkout.folder / "mlflow.db").unlink(),
        "mlflow.db is missing, although there are models",
        "python -m pipeline sync",
    ),
    "runs that cannot be read": (
        lambda checkout: checkout.put("mlflow.db", "no database"),
        "mlflow.db cannot be read. found: file is not a database",
        "move it away",
    ),
    "a folder that was moved": (
        lambda checkout: checkout.keep_artifacts_in("file:///home/me/project/mlartifacts"),
        "found: file:///home/me/project/mlartifacts",
        "move it back",
    ),
    "code that is not committed": (
        lambda checkout: checkout.put("pipeline/tune.py"),
        "not committed. found: pipeline/tune.py",
        "commit them",
    ),
    "a folder without git": (
        lambda checkout: shutil.rmtree(checkout.folder / ".git"),
        "git knows no commit here",
        "run 'git status'",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_said_with_its_remedy(checkout: Checkout, fault: str) -> None:
    make, what, remedy = FAULTS[fault]
    make(checkout)
    code, said = checkout.examine()
    wrong = " ".join(said.partition("wrong:\n")[2].split())
    assert code == 1, said
    assert what in wrong
    assert remedy in wrong.partition("to fix:")[2]


def test_a_disk_that_is_almost_full(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 0, 4_900_000_000))
    code, said = checkout.examine()
    assert code == 1
    assert "Only 4.9 GB are free" in said


def test_a_stage_that_runs_right_now_is_nothing_wrong(checkout: Checkout) -> None:
    shutil.rmtree(checkout.folder / "models" / "baseline")  # as DVC does before it starts a stage
    writer = JournalWriter(checkout.folder / ".journal", "tune", "project")
    code, said = checkout.examine()
    writer.close()
    assert code == 0, said
    assert "a stage is running" in said


def test_a_server_is_named_without_its_password(checkout: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.example")
    code, said = checkout.examine()
    assert code == 0, said
    assert "https://mlflow.example" in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'NVIDIA H100 80GB HBM3, 81559 MiB'", "NVIDIA H100 80GB HBM3, 81559 MiB"),
        ("echo 'No devices were found'; exit 6", "none that nvidia-smi can reach"),
    ],
)
def test_graphics_processors_are_asked_for_by_nvidia_smi(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    assert said in checkout.examine()[1]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["avx2", "fma"], "precision=float32 is faster"),
        (["amx_bf16", "avx512_bf16"], "AVX512-BF16, AMX-BF16: precision=mixed_bfloat16 is faster"),
        ([], "not known"),
    ],
)
def test_whether_bfloat16_pays(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, flags: list[str], said: str
) -> None:
    information = {**system_information(), "cpu_flags": flags}
    monkeypatch.setattr(doctor, "system_information", lambda: information)
    assert said in checkout.examine()[1]


def test_it_starts_at_once_and_changes_nothing(project: Path, checkout: Checkout) -> None:
    before = {path: path.stat().st_mtime_ns for path in checkout.folder.rglob("*")}
    environment = {**os.environ, "PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED], cwd=checkout.folder, env=environment, capture_output=True, text=True
    )
    assert "Machine\n  system" in done.stdout, done.stderr
    imported = set(done.stdout.rpartition("imported:")[2].split())
    assert "pipeline" in imported
    assert not {"tensorflow", "keras", "mlflow", "dvc", "numpy"} & imported
    assert {path: path.stat().st_mtime_ns for path in checkout.folder.rglob("*")} == before
