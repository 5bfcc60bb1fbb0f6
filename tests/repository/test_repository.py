"""git and DVC as seen from a project folder: revisions, experiments, dvc.lock, outputs in the cache."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from pipeline.repository.repository import (
    Experiment,
    Repository,
    parse_lock,
    parse_locked_outputs,
)

LOCK = """\
schema: '2.0'
stages:
  fetch:
    cmd: python -m pipeline.fetch
    deps:
    - path: pipeline/fetch.py
      hash: md5
      md5: code1
      size: 10
    params:
      params.yaml:
        fetch:
          location:
          class_names: {}
    outs:
    - path: data/fetched
      hash: md5
      md5: raw1.dir
      size: 5000
      nfiles: 4
  train:
    cmd: python -m pipeline.train
    deps:
    - path: data/fetched
      hash: md5
      md5: raw1.dir
      size: 5000
    params:
      params.yaml:
        lr: 1e-05
        text: |-
          several

          lines
    outs:
    - path: models/baseline
      hash: md5
      md5: '12345678901234567890123456789012'
      size: 7
    - path: metrics/train.json
      hash: md5
      md5: metrics1
      size: 8
"""


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with one commit."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / "params.yaml").write_text("lr: 0.1\n")
    commit(tmp_path, "first")
    return Repository(tmp_path)


def make_experiment(repository: Repository, name: str, lock: str) -> Experiment:
    """What `dvc exp run` leaves: a commit on top of HEAD that only a reference of DVC's keeps."""
    folder = repository.folder
    baseline = git(folder, "rev-parse", "HEAD")
    git(folder, "checkout", "--quiet", "--detach")
    (folder / "dvc.lock").write_text(lock)
    made = commit(folder, "dvc: commit experiment")
    git(folder, "update-ref", f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}", made)
    git(folder, "checkout", "--quiet", "main")
    return Experiment(name, baseline, made)


# dvc.lock


def test_a_lock_has_inputs_params_outputs_and_sizes() -> None:
    lock = parse_lock(LOCK)
    train = lock.stages["train"]
    assert train.inputs == {"data/fetched": "raw1.dir"}
    assert train.params == {"lr": 1e-5, "text": "several\n\nlines"}
    # A hash of digits alone is text, as DVC writes it.
    assert train.outputs["models/baseline"] == "12345678901234567890123456789012"
    assert train.sizes == {"models/baseline": 7, "metrics/train.json": 8}
    assert lock.outputs.keys() == {"data/fetched", "models/baseline", "metrics/train.json"}


def test_the_quick_reading_finds_the_same_outputs(project: Path) -> None:
    for text in (LOCK, (project / "dvc.lock").read_text()):
        quick, whole = parse_locked_outputs(text), parse_lock(text)
        assert quick.outputs == whole.outputs
        assert {name: stage.sizes for name, stage in quick.stages.items()} == {
            name: stage.sizes for name, stage in whole.stages.items()
        }
        assert all(stage.inputs == {} for stage in quick.stages.values())


@pytest.mark.parametrize(
    "text", ["", "stages:", "stages: {a: 1}", "- a", "stages: {a: {outs: [{}]}}", "a: ["]
)
def test_a_lock_that_cannot_be_read_is_empty(text: str) -> None:
    assert parse_lock(text).stages == {}


def test_inputs_are_read_from_upstream_only() -> None:
    lock = parse_lock(LOCK)
    # Not of its own entry, which is that of its previous run; a file within a folder has the folder's hash.
    inputs = lock.data_inputs(
        "train", ["pipeline/train.py", "data/fetched/catalogue.csv", "metrics/train.json"]
    )
    assert inputs == {"data/fetched": "raw1.dir"}
    # A dependency on a folder means all outputs inside of it.
    assert lock.data_inputs("report", ["models"]) == {"models/baseline": "12345678901234567890123456789012"}


# revisions


def test_revisions_and_experiments_have_commits(repository: Repository) -> None:
    experiment = make_experiment(repository, "muddy-ant", LOCK)
    git(repository.folder, "update-ref", "refs/exps/exec/EXEC_HEAD", experiment.commit)
    git(repository.folder, "tag", "v1")
    assert repository.experiments() == [experiment]
    assert repository.experiments_called("muddy-ant") == [experiment]
    assert (
        repository.git_commit("main")
        == repository.git_commit("v1")
        == repository.head()
        == experiment.baseline
    )
    assert repository.git_commit(experiment.commit[:8]) == experiment.commit
    assert repository.git_commit("muddy-ant") is None
    assert repository.git_commit("--all") is repository.git_commit("nothing") is None


def test_an_experiment_of_a_second_baseline_may_have_the_same_name(repository: Repository) -> None:
    first = make_experiment(repository, "muddy-ant", LOCK)
    commit(repository.folder, "second")
    second = make_experiment(repository, "muddy-ant", LOCK)
    assert {each.commit for each in repository.experiments_called("muddy-ant")} == {
        first.commit,
        second.commit,
    }


def test_files_are_read_as_of_a_revision(repository: Repository) -> None:
    (repository.folder / "dvc.lock").write_text(LOCK)
    made = commit(repository.folder, "locked")
    (repository.folder / "dvc.lock").write_text("")
    assert repository.lock(made).outputs["data/fetched"] == "raw1.dir"
    assert repository.lock(None).stages == {}
    assert repository.lock(f"{made}^").stages == {}
    assert repository.title(made).startswith(f"{made[:7]} locked (20")


def test_the_first_commit_with_a_hash(repository: Repository) -> None:
    (repository.folder / "dvc.lock").write_text(LOCK)
    made = commit(repository.folder, "locked")
    (repository.folder / "dvc.lock").write_text(LOCK.replace("metrics1", "metrics2"))
    commit(repository.folder, "locked anew")
    make_experiment(repository, "muddy-ant", LOCK.replace("raw1", "raw2"))
    assert repository.first_commit_with("raw1.dir") == made
    assert repository.first_commit_with("metrics2") == repository.head()
    assert repository.first_commit_with("raw2.dir") is None  # experiments are looked for by their names


def test_changes_are_files_that_differ_from_the_commit(repository: Repository) -> None:
    assert repository.changes() == []
    (repository.folder / "params.yaml").write_text("lr: 0.2\n")
    (repository.folder / "new.py").touch()
    assert repository.changes() == ["params.yaml", "new.py"]
    assert repository.changes("pipeline", "params.yaml") == ["params.yaml"]


def test_outside_of_git_nothing_is_known(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    assert repository.head() is None
    assert repository.git_commit("main") is None
    assert repository.changes() is None
    assert repository.experiments() == []
    assert repository.lock(None).stages == {}


# DVC's cache


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@pytest.fixture
def dvc_project(repository: Repository) -> Repository:
    """A folder output of two files in DVC's cache, made by hand, and committed with its dvc.lock."""
    folder = repository.folder
    files = {"card.json": b'{"model_digest": "abc"}', "model.keras": b"network"}
    listing = json.dumps([{"md5": md5(data), "relpath": name} for name, data in files.items()]).encode()
    key = f"{md5(listing)}.dir"
    for name, data in [*((md5(data), data) for data in files.values()), (key, listing)]:
        place = folder / ".dvc" / "cache" / "files" / "md5" / name[:2] / name[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    configuration = (
        "[core]\n    analytics = false\n    remote = store\n['remote \"store\"']\n    url = nowhere\n"
    )
    (folder / ".dvc" / "config").write_text(configuration)
    (folder / ".gitignore").write_text("/.dvc/cache\n/.dvc/tmp\n/models\n")
    (folder / "dvc.yaml").write_text("stages:\n  train:\n    cmd: echo\n    outs: [models/baseline]\n")
    (folder / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  train:\n    cmd: echo\n    outs:\n    - path: models/baseline\n"
        f"      hash: md5\n      md5: {key}\n      size: 30\n      nfiles: 2\n"
    )
    commit(folder, "a model")
    return repository


def test_an_output_is_cached_only_with_all_its_files(dvc_project: Repository) -> None:
    assert dvc_project.cached("HEAD", "models/baseline")
    assert not dvc_project.cached("HEAD", "models/tuned")
    (dvc_project.folder / ".dvc/cache/files/md5" / md5(b"network")[:2] / md5(b"network")[2:]).unlink()
    assert not dvc_project.cached("HEAD", "models/baseline")


def test_outputs_of_a_revision_are_read_from_the_cache(dvc_project: Repository) -> None:
    commit(dvc_project.folder, "later")
    assert dvc_project.output("HEAD^", "models/baseline/card.json") == b'{"model_digest": "abc"}'
    assert dvc_project.output("HEAD^", "models/tuned/card.json") is None
    assert dvc_project.file_hashes("HEAD^", "models/baseline") == {
        "card.json": md5(b'{"model_digest": "abc"}'),
        "model.keras": md5(b"network"),
    }
    assert dvc_project.file_hashes("HEAD^", "models/tuned") in (None, {})


def test_where_dvc_keeps_its_files(dvc_project: Repository, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert dvc_project.cache_folder() == dvc_project.folder / ".dvc" / "cache"
    assert dvc_project.remote() == "store"
    elsewhere = Repository(tmp_path_factory.mktemp("elsewhere"))
    assert elsewhere.cache_folder() is None
    assert elsewhere.remote() is None
    assert not elsewhere.cached("HEAD", "models/baseline")
