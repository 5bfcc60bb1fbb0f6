"""The pipeline as people run it, in a clone of its own: `dvc repro`, experiments, kills and resumption.

Nothing here reads or writes the workspace, the configuration or the caches of whoever runs it.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

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

    def dvc(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments)

    def dvc_killed_at(self, text: str, occurrence: int, *arguments: str) -> None:
        """Run dvc and kill it, and whatever it started, with SIGKILL when it prints `text` again."""
        process = subprocess.Popen(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        output = []
        for line in process.stdout:
            output.append(line)
            if sum(text in line for line in output) == occurrence:
                os.killpg(process.pid, signal.SIGKILL)
                break
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL, "".join(output)[-5000:]

    def runs(self) -> list[dict[str, Any]]:
        """What MLflow's store under this clone knows, once everything recorded has arrived there."""
        self.run(sys.executable, "-m", "pipeline", "sync")
        output = self.run(sys.executable, "-c", READ_RUNS, f"sqlite:///{self.folder / 'mlflow.db'}")
        return json.loads(output.splitlines()[-1])

    def card(self, candidate: str) -> dict[str, Any]:
        return json.loads((self.folder / "models" / candidate / "card.json").read_text(encoding="utf-8"))

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


@pytest.fixture(scope="session")
def pristine(project: Path, small_params: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The project's files as git would commit them now, with small params and nothing run yet."""
    folder = tmp_path_factory.mktemp("pristine")
    clone = Clone(folder, environment(tmp_path_factory.mktemp("home")))
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source = project / name
        # A file that git knows may be deleted; results of the workspace are not to be found here.
        if source.is_file() and not name.startswith("metrics/") and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(small_params, file)
    clone.run("git", "init", "--quiet", "--initial-branch=main")
    clone.run("git", "add", "--all")
    clone.run("git", "commit", "--quiet", "--message", "The pipeline, with small params")
    return clone


@pytest.fixture(scope="session")
def reproduced(pristine: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which `dvc repro` has run once, undisturbed, and is committed. Not to be changed."""
    clone = copied(pristine, tmp_path_factory.mktemp("reproduced"))
    clone.dvc("repro")
    clone.run("git", "add", "--all")
    clone.run("git", "commit", "--quiet", "--message", "First results")
    return clone


def copied(clone: Clone, parent: Path) -> Clone:
    folder = parent / "clone"
    shutil.copytree(clone.folder, folder, symlinks=True)
    return Clone(folder, clone.environment)


@pytest.fixture
def clone(reproduced: Clone, tmp_path: Path) -> Iterator[Clone]:
    """A copy of the reproduced clone that a test may change."""
    copy = copied(reproduced, tmp_path)
    yield copy
    shutil.rmtree(copy.folder, ignore_errors=True)


def test_every_stage_writes_its_outputs(reproduced: Clone) -> None:
    stages = YAML(typ="safe").load((reproduced.folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for name, stage in stages.items():
        for entry in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]:
            path = reproduced.folder / (next(iter(entry)) if isinstance(entry, dict) else entry)
            assert path.exists(), f"{name} has not written {path}"
            assert not path.is_dir() or any(path.iterdir()), f"{name} has left {path} empty"
    assert "up to date" in reproduced.dvc("status")


def test_all_that_the_stages_write_is_known_to_git_or_dvc(reproduced: Clone) -> None:
    """The working tree is clean after a commit, and no .gitignore was scattered by DVC."""
    assert reproduced.run("git", "status", "--porcelain") == ""
    ignore_files = {path.parent.name for path in reproduced.folder.rglob(".gitignore")}
    assert ignore_files <= {reproduced.folder.name, ".dvc"}


def test_no_output_tells_where_it_was_made(reproduced: Clone) -> None:
    """The same bytes anywhere: nothing that DVC or git keeps contains the folder's name."""
    secret = str(reproduced.folder).encode()
    written = [
        path for name in ("data", "models", "metrics") for path in (reproduced.folder / name).rglob("*")
    ]
    assert [path for path in written if path.is_file() and secret in path.read_bytes()] == []


def test_a_second_repro_does_nothing(clone: Clone) -> None:
    before = clone.lock()
    output = clone.dvc("repro")
    assert "Running stage" not in output
    assert output.count("didn't change, skipping") == 8
    assert clone.lock() == before


def test_a_learning_rate_given_to_an_experiment_arrives_as_a_number(clone: Clone) -> None:
    # DVC writes 1e-05 into params.yaml, which a YAML 1.1 reader takes for text.
    for text, value in (("1e-4", 1e-4), ("1e-5", 1e-5)):
        clone.dvc("exp", "run", "--name", f"lr-{text}", "--set-param", f"lr={text}", "train_baseline")
        lr = clone.card("baseline")["hyperparameters"]["lr"]
        assert isinstance(lr, float)
        assert lr == value
    of_experiments = [run for run in clone.runs() if run["name"] == "baseline" and "lr" in run["params"]]
    assert {float(run["params"]["lr"]) for run in of_experiments} >= {1e-4, 1e-5}


def test_queued_experiments_run_their_own_code_and_leave_their_runs_in_the_project(clone: Clone) -> None:
    before = {run["id"] for run in clone.runs()}
    for name, seed in (("one", 1), ("two", 2)):
        clone.dvc("exp", "run", "--queue", "--name", name, "--set-param", f"seed={seed}", "train_baseline")
    # From here on the workspace's own stage cannot run: whoever imports it instead of its copy fails.
    (clone.folder / "pipeline" / "train_baseline.py").write_text("raise SystemExit(5)\n", encoding="utf-8")
    clone.dvc("queue", "start", "--jobs", "2")
    status = wait_for_queue(clone)
    assert status.count("Success") == 2, "\n".join(
        [
            status,
            *(
                clone.run(sys.executable, "-m", "dvc", "queue", "logs", name, check=False)
                for name in ("one", "two")
            ),
        ]
    )

    new = [run for run in clone.runs() if run["id"] not in before]
    assert sorted(run["params"]["seed"] for run in new) == ["1", "2"]
    assert {run["status"] for run in new} == {"FINISHED"}
    assert {value for run in new for value in run["tags"].values()} >= {"one", "two"}


def wait_for_queue(clone: Clone) -> str:
    """The queue's table once nothing in it waits or runs."""
    for _ in range(120):
        status = clone.dvc("queue", "status")
        if not re.search(r"Queued|Running", status):
            return status
        time.sleep(2)
    raise AssertionError(f"the queue has not ended:\n{status}")


def test_a_forced_second_run_gives_the_same_bytes(clone: Clone) -> None:
    before = clone.lock()
    output = clone.dvc("repro", "--force")
    assert output.count("Running stage") == 8
    assert clone.lock() == before


def test_a_killed_pipeline_goes_on_and_ends_with_the_same_bytes(
    pristine: Clone, reproduced: Clone, tmp_path: Path
) -> None:
    """SIGKILL amid the training and amid the search, in a clone that has no results to fall back on."""
    killed = copied(pristine, tmp_path)
    killed.dvc_killed_at("epoch 2/6", 1, "repro", "train_baseline")
    assert not (killed.folder / "models" / "baseline" / "model.keras").exists()

    output = killed.dvc("repro", "train_baseline")
    assert "going on after epoch" in output
    assert "epoch 1/6" not in output

    # The first of the two trials has ended when the second one ends its first epoch of two.
    killed.dvc_killed_at("epoch 1/2", 2, "repro", "tune")
    assert not (killed.folder / "models" / "tuned" / "model.keras").exists()
    output = killed.dvc("repro")
    assert len(re.findall(r"^trial \S+:", output, re.MULTILINE)) == 1

    assert killed.lock() == reproduced.lock()
    assert list((killed.folder / ".resume").glob("*/*")) == []
    runs = killed.runs()
    baselines = [run for run in runs if run["name"] == "baseline"]
    assert [run["status"] for run in baselines] == ["FINISHED"]
    assert sorted(set(baselines[0]["epochs"])) == [1, 2, 3, 4, 5, 6]
    assert [run["name"] for run in runs if run["status"] != "FINISHED"] == []
    undisturbed = sorted(run["name"] for run in reproduced.runs())
    assert sorted(run["name"] for run in runs) == undisturbed
