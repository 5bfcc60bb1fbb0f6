"""Tags that say where a run comes from."""

import json
import subprocess
from pathlib import Path

import pytest

from pipeline.foundation.digests import digest_json
from pipeline.foundation.workspace import Workspace
from pipeline.tracking.provenance import origin, run_tags, system_information


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(workspace: Workspace) -> Workspace:
    git(workspace.root, "init", "--quiet")
    (workspace.root / "params.yaml").write_text("lr: 0.1\n")
    (workspace.root / "dvc.lock").write_text("")
    git(workspace.root, "add", ".")
    git(workspace.root, "commit", "--quiet", "-m", "x")
    return workspace


def test_a_clean_commit(repository: Workspace) -> None:
    tags = run_tags(repository, "tune", {})
    assert tags["git_commit"] == git(repository.root, "rev-parse", "HEAD")
    assert tags["mlflow.source.git.commit"] == tags["git_commit"]
    assert tags["git_dirty"] == "false"


def test_products_of_stages_make_no_commit_dirty(repository: Workspace) -> None:
    (repository.root / "dvc.lock").write_text("new")
    (repository.root / "notes.txt").write_text("mine")
    assert run_tags(repository, "tune", {})["git_dirty"] == "false"


@pytest.mark.parametrize("name", ["params.yaml", "pipeline/new.py"])
def test_changed_params_and_code_do(repository: Workspace, name: str) -> None:
    path = repository.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("lr: 0.2\n")
    assert run_tags(repository, "tune", {})["git_dirty"] == "true"


def test_what_was_changed_is_named(repository: Workspace) -> None:
    assert "git_changes" not in run_tags(repository, "tune", {})
    (repository.root / "params.yaml").write_text("lr: 0.2\n")
    assert json.loads(run_tags(repository, "tune", {})["git_changes"]) == ["params.yaml"]


def test_inputs_are_what_other_stages_have_written_last(workspace: Workspace) -> None:
    workspace.stages.write_text(
        "stages:\n  split: {cmd: x, outs: [data/split]}\n"
        "  tune: {cmd: y, deps: [pipeline/tune.py, data/split/split.csv], outs: [models/tuned]}\n"
    )
    workspace.lock.write_text(
        "schema: '2.0'\nstages:\n"
        "  split:\n    cmd: x\n    outs:\n    - path: data/split\n      hash: md5\n      md5: now.dir\n"
        "  tune:\n    cmd: y\n    deps:\n    - path: data/split/split.csv\n      md5: before\n"
        "    outs:\n    - path: models/tuned\n      hash: md5\n      md5: before.dir\n"
    )
    assert json.loads(run_tags(workspace, "tune", {})["inputs"]) == {"data/split": "now.dir"}
    assert "inputs" not in run_tags(workspace, "split", {})


def test_the_source_of_the_images_without_credentials(workspace: Workspace) -> None:
    workspace.fetched.mkdir(parents=True)
    source = {
        "dataset": "cifar10",
        "location": "https://me:secret@host/data",
        "fingerprint": "f",
        "images": 7,
    }
    workspace.source.write_text(json.dumps(source))
    tag = run_tags(workspace, "tune", {})["data_source"]
    assert tag == '{"dataset":"cifar10","fingerprint":"f","location":"https://host/data"}'


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_files_that_are_being_written_fail_no_run(workspace: Workspace, text: str) -> None:
    workspace.fetched.mkdir(parents=True)
    for path in (workspace.source, workspace.stages, workspace.lock):
        path.write_text(text)
    assert not {"inputs", "data_source"} & set(run_tags(workspace, "tune", {}))


def test_outside_of_git_there_is_no_commit(workspace: Workspace) -> None:
    assert "git_commit" not in run_tags(workspace, "tune", {})


def test_the_experiment_and_the_environment(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "muddy-ant")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "abc")
    (workspace.root / "requirements.lock").write_bytes(b"x")
    tags = run_tags(workspace, "tune", {"threads": 2})
    assert (tags["dvc_experiment"], tags["dvc_baseline"]) == ("muddy-ant", "abc")
    # sha256 of the one byte "x"
    assert tags["environment_digest"] == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    assert tags["params_digest"] == digest_json({"threads": 2})


def test_clones_have_different_origins(tmp_path: Path) -> None:
    assert origin(tmp_path / "a") != origin(tmp_path / "b")
    assert origin(tmp_path / "a") == origin(tmp_path / "a")


def test_the_machine_is_described() -> None:
    information = system_information()
    assert information["memory_bytes"] > 2**28
    assert information["logical_cores"] >= information["cores"] >= 1
    assert information["libraries"]["numpy"] == __import__("numpy").__version__


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="only Linux tells instruction sets")
def test_instruction_sets_that_decide_rounding_are_named(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    information = system_information()
    assert "TF_ENABLE_ONEDNN_OPTS=0" in information["numeric_settings"]
    assert information["threads"] == 2
    described = Path("/proc/cpuinfo").read_text().split("\n\n")[0].split()
    assert set(information["cpu_flags"]) == set(described) & {
        flag for flag in described if flag.startswith(("sse4", "avx", "fma", "amx"))
    }
    assert run_tags(workspace, "tune", {}).get("cpu_flags", "") == " ".join(information["cpu_flags"])
