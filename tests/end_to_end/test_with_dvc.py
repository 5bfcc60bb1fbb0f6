"""The pipeline as people run it, in a clone of its own: `dvc repro`, experiments, kills and resumption.

Nothing here reads or writes the workspace, the configuration or the caches of the person who runs it.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.end_to_end.clones import Clone, copied

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

READ_RUN = """
import json, sys, mlflow
client = mlflow.MlflowClient(tracking_uri=sys.argv[1])
run = client.get_run(sys.argv[2])
def files(folder=None):
    for item in client.list_artifacts(run.info.run_id, folder):
        yield from files(item.path) if item.is_dir else [item.path]
curves = {name: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
          for name in run.data.metrics}
models = [client.get_logged_model(output.model_id).tags["model_digest"]
          for output in run.outputs.model_outputs]
print(json.dumps({"curves": curves, "files": sorted(files()), "models": models}))
"""
EVERY_TRAINING = {"baseline", "transfer", "tuned"}


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
    # From here on the workspace's own stage cannot run: what imports it instead of its copy fails.
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

    new = [run for run in clone.runs() if run["id"] not in before and run["tags"]["kind"] == "training"]
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


def test_a_killed_pipeline_goes_on_and_ends_with_the_same_bytes(
    pristine: Clone, reproduced: Clone, tmp_path: Path
) -> None:
    """SIGKILL amid the training and amid the search, in a clone that has no results to fall back on.

    The training loses its DVC alone: it has to end before the next one takes up its work.
    """
    killed = copied(pristine, tmp_path)
    killed.dvc_killed_at("epoch 2/6", 1, "repro", "train_baseline", alone=True)
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
    assert {path.suffix for path in (killed.folder / ".unfinished").iterdir()} == {".lock"}
    runs = killed.runs()
    baselines = [run for run in runs if run["name"] == "baseline"]
    assert [run["status"] for run in baselines] == ["FINISHED"]
    assert sorted(set(baselines[0]["epochs"])) == [1, 2, 3, 4, 5, 6]
    assert [run["name"] for run in runs if run["status"] != "FINISHED"] == []
    undisturbed = sorted(run["name"] for run in reproduced.runs())
    assert sorted(run["name"] for run in runs) == undisturbed


def test_the_runs_of_a_reproduction_stand_below_one(reproduced: Clone) -> None:
    runs = reproduced.runs()
    (parent,) = of_kind(runs, "experiment")
    first_commit = reproduced.run("git", "rev-list", "--max-parents=0", "HEAD").strip()
    assert (parent["name"], parent["status"]) == (f"workspace-{first_commit[:7]}", "FINISHED")
    assert {run["name"] for run in children(runs, parent)} == EVERY_TRAINING | {"evaluate"}
    (tuned,) = [run for run in runs if run["name"] == "tuned"]
    assert children(runs, tuned) == of_kind(runs, "trial")
    assert len(of_kind(runs, "trial")) == 2
    assert parent["params"]["train_baseline.widths"] == "[8, 8, 8]"
    assert parent["params"]["tracking.experiment"] == "image-classification"

    locked = YAML(typ="safe").load(reproduced.lock())["stages"]
    for run in of_kind(runs, "training"):
        hashes = {Path(out["path"]).name: out["md5"] for out in locked[run["tags"]["stage"]]["outs"]}
        assert run["tags"]["dvc_hash"] == hashes["card.json"]
    best = json.loads((reproduced.folder / "models" / "best.json").read_text())
    scores = json.loads((reproduced.folder / "metrics" / "evaluate.json").read_text())[best["candidate"]]
    assert parent["tags"]["best_model_digest"] == best["model_digest"]
    shown = read_run(reproduced, parent)["curves"]
    assert shown["test_accuracy"] == [[0, scores["test"]["accuracy"]]]
    assert shown["validation_ece"] == [[0, scores["validation"]["ece"]]]


def test_an_experiment_is_found_by_its_commit_and_what_dvc_restores_has_runs_too(clone: Clone) -> None:
    setting = ("--set-param", "train_baseline.epochs=3")
    clone.dvc("exp", "run", "--name", "executed", *setting)
    runs = clone.runs()
    (executed,) = parents(runs, ["executed"])
    family = [executed, *children(runs, executed)]
    # The search depends on this param too, and finds the same model again; the transfer does not.
    assert {run["name"] for run in family} == {"executed", "baseline", "tuned", "evaluate"}
    baseline_commit = clone.run("git", "rev-parse", "HEAD").strip()
    assert {run["tags"]["dvc_baseline"] for run in family} == {baseline_commit}
    assert {run["tags"]["dvc_commit"] for run in family} == {commit_of(clone, "executed")}

    back_to_the_commit(clone)
    output = clone.dvc("exp", "run", "--name", "restored", *setting)
    assert "Stage 'train_baseline' is cached - skipping run" in output
    assert "Running stage" not in output
    assert "2 runs restored" in sync(clone)
    assert sync(clone) == "MLflow is up to date.\n"
    runs = clone.runs()
    (restored,) = parents(runs, ["restored"])
    again = {run["name"]: run for run in children(runs, restored)}
    assert set(again) == {"baseline", "evaluate"}  # the baseline commit has the same search already
    for name, run in again.items():
        (original,) = [each for each in family if each["name"] == name]
        assert_restored(clone, run, original)
        assert run["tags"]["dvc_commit"] == run["tags"]["git_commit"] == commit_of(clone, "restored")
    assert read_run(clone, restored)["curves"] == read_run(clone, executed)["curves"]

    known = {run["id"] for run in runs}
    back_to_the_commit(clone)
    clone.dvc("exp", "apply", "executed")
    assert sync(clone) == "MLflow is up to date.\n"
    back_to_the_commit(clone)
    clone.dvc("exp", "branch", "executed", "kept")
    clone.run("git", "checkout", "--quiet", "kept")
    clone.dvc("checkout")
    assert sync(clone) == "MLflow is up to date.\n"
    assert {run["id"] for run in clone.runs()} == known


def assert_restored(clone: Clone, run: dict[str, Any], original: dict[str, Any]) -> None:
    """All that an executed run has, but for what only an execution can tell."""
    assert (run["status"], run["params"]) == ("FINISHED", original["params"])
    tags, before = run["tags"], original["tags"]
    assert (tags["restored"], tags["restored_from"]) == ("true", original["id"])
    same = (
        "stage",
        "kind",
        "dvc_hash",
        "params_digest",
        "data_digest",
        "inputs",
        "data_source",
        "dvc_baseline",
    )
    assert [tags[name] for name in same] == [before[name] for name in same]
    assert tags.get("model_digest") == before.get("model_digest")
    found, expected = read_run(clone, run), read_run(clone, original)
    assert set(expected["curves"]) - set(found["curves"]) <= {"duration_seconds", "images_per_second"}
    for name, points in found["curves"].items():
        assert points == [pytest.approx(point) for point in expected["curves"][name]], name
    assert found["models"] == expected["models"]
    assert found["files"] == [file for file in expected["files"] if file != "system.json"]


def test_every_experiment_of_a_sweep_has_its_runs_under_its_own_name(clone: Clone) -> None:
    sweep = ("--set-param", "lr=1e-2,1e-3", "train_baseline")
    clone.dvc("exp", "run", "--queue", *sweep)
    clone.dvc("queue", "start", "--jobs", "2")
    clone.dvc("exp", "run", "--temp", "--name", "aside", "--set-param", "lr=1e-4", "train_baseline")
    assert wait_for_queue(clone).count("Success") == 2

    runs, names = clone.runs(), experiments(clone)
    assert len(names) == 3
    found = parents(runs, names)
    assert sorted(float(run["params"]["lr"]) for run in found) == [1e-4, 1e-3, 1e-2]
    for parent in found:
        (training,) = children(runs, parent)
        assert training["params"]["lr"] == parent["params"]["lr"]
        assert training["status"] == parent["status"] == "FINISHED"
        assert training["tags"]["dvc_commit"] == names[parent["name"]]
    assert clone.run("git", "status", "--porcelain") == ""


def test_a_name_that_is_used_again_does_not_mislead(clone: Clone) -> None:
    for lr in ("0.01", "0.02"):
        clone.dvc("exp", "run", "--temp", "--name", "again", "--set-param", f"lr={lr}", "train_baseline")
        commit = commit_of(clone, "again")
        if lr == "0.01":
            clone.dvc("exp", "remove", "again")
    commits = {run["params"]["lr"]: run["tags"].get("dvc_commit") for run in parents(clone.runs(), ["again"])}
    assert commits == {"0.01": None, "0.02": commit}


def test_code_that_is_edited_while_a_training_runs_fails_it(clone: Clone) -> None:
    script = clone.folder / "pipeline" / "training" / "schedules.py"
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "exp", "run", "--name", "edited", "-S", "seed=1", "train_baseline"],
        cwd=clone.folder,
        env=clone.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch 1/6" in line:
            break
    with script.open("a", encoding="utf-8") as file:
        file.write("# an afterthought\n")
    output, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "Inputs have changed while the stage ran: pipeline/training/schedules.py." in output
    assert "Traceback" not in output

    runs = clone.runs()
    (parent,) = parents(runs, ["edited"])
    (training,) = children(runs, parent)
    assert (training["status"], parent["status"]) == ("FAILED", "FAILED")
    assert "schedules.py" in training["tags"]["failure"]
    assert experiments(clone) == {}


def sync(clone: Clone) -> str:
    return clone.run(sys.executable, "-m", "pipeline", "sync")


def read_run(clone: Clone, run: dict[str, Any]) -> dict[str, Any]:
    """A run's curves, the paths of its artifacts, and the digests of its models."""
    address = f"sqlite:///{clone.folder / 'mlflow.db'}"
    found: dict[str, Any] = json.loads(clone.run(sys.executable, "-c", READ_RUN, address, run["id"]))
    return found


def of_kind(runs: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [run for run in runs if run["tags"].get("kind") == kind]


def parents(runs: list[dict[str, Any]], names: Iterable[str]) -> list[dict[str, Any]]:
    return [run for run in of_kind(runs, "experiment") if run["name"] in names]


def children(runs: list[dict[str, Any]], parent: dict[str, Any]) -> list[dict[str, Any]]:
    return [run for run in runs if run["tags"].get("mlflow.parentRunId") == parent["id"]]


def experiments(clone: Clone) -> dict[str, str]:
    """Commit by name of the experiments that DVC keeps."""
    listed = clone.run("git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps")
    references = [line.split() for line in listed.splitlines()]
    return {
        reference.rpartition("/")[2]: commit
        for reference, commit in references
        if re.match(r"refs/exps/[0-9a-f]{2}/", reference)
    }


def commit_of(clone: Clone, experiment: str) -> str:
    return experiments(clone)[experiment]


def back_to_the_commit(clone: Clone) -> None:
    clone.run("git", "checkout", "--quiet", ".")
    clone.dvc("checkout")
