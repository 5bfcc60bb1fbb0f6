"""`python -m pipeline verify`, on a project of three small stages without any library."""

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.commands.addresses.address import parse_address
from pipeline.commands.reproducing.temporary_clone import temporary_clone
from pipeline.commands.reproducing.verify import verify
from pipeline.foundation.errors import EXIT_REFUSED, PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.tracking.lineage.index import Index
from pipeline.tracking.store import Store
from tests.repository.test_repository import commit, git
from tests.scoring.made_scores import made_scores

STAGES = """\
stages:
  fetch:
    cmd: python make.py fetch
    params: [fetch.location]
    deps: [make.py]
    outs: [data/fetched/images.txt, data/fetched/source.json]
  train:
    cmd: python make.py train
    params: [lr]
    deps: [data/fetched/images.txt]
    outs: [models/baseline]
  evaluate:
    cmd: python make.py evaluate
    deps: [models/baseline]
    metrics:
      - metrics/evaluate.json: {cache: false}
"""
MAKE = (
    f"SCORES = {made_scores(100).to_json()}"
    + """
import json, os, re, sys
from functools import partial
from pathlib import Path

def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)

params = Path("params.yaml").read_text()
lr = re.search(r"^lr: (\\S+)", params, re.M)[1]
if sys.argv[1] == "fetch":
    location = re.search(r"location: (\\S+)", params)[1]
    images = (Path(os.environ["DVC_ROOT"]) / location).read_text()
    write("data/fetched/images.txt", images)
    write("data/fetched/source.json", json.dumps({"fingerprint": images}))
elif sys.argv[1] == "train":
    print("MLflow at", os.environ.get("MLFLOW_TRACKING_URI"))
    if os.environ.get("TOY") == "slow":
        write(os.environ["STARTED"], str(Path.cwd()))
        import time; time.sleep(60)
    if os.environ.get("TOY") == "fail":
        sys.exit("the stage fails")
    noise = os.environ.get("TOY", "")
    write("models/baseline/model.keras", Path("data/fetched/images.txt").read_text() + lr + noise)
    write("models/baseline/card.json", json.dumps({"versions": {"keras": "0.1"}}))
else:
    accuracy = 0.9 if Path("models/baseline/model.keras").read_text().startswith("images0.2") else 0.5
    accuracy += 0.01 * len(os.environ.get("TOY", ""))
    interval = {"accuracy_low": accuracy - 0.05, "accuracy_high": accuracy + 0.05}
    scores = {**SCORES, "accuracy": accuracy, **interval}
    write("metrics/evaluate.json", json.dumps({"baseline": {"test": scores}}))
"""
)

Verify = Callable[..., tuple[int, str]]

slow = pytest.mark.slow


def dvc(folder: Path, *arguments: str) -> None:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def finished(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small project after `dvc repro`, committed; its images lie beside it."""
    parent = tmp_path_factory.mktemp("toy")
    (parent / "images.txt").write_text("images")
    folder = parent / "project"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    params = (project / "params.yaml").read_text()
    assert "location: null" in params
    (folder / "params.yaml").write_text(params.replace("location: null", "location: ../images.txt"))
    (folder / "dvc.yaml").write_text(STAGES)
    (folder / "make.py").write_text(MAKE)
    (folder / ".gitignore").write_text("/data\n/models\n")
    (folder / ".dvc").mkdir()
    shutil.copy(project / ".dvc" / "config", folder / ".dvc")
    (folder / ".dvc" / ".gitignore").write_text("/tmp\n/cache\n/config.local\n")
    dvc(folder, "repro")
    commit(folder, "results")
    return folder


@pytest.fixture
def toy(finished: Path, tmp_path: Path) -> Workspace:
    """A copy of it that a test may change."""
    shutil.copytree(finished.parent, tmp_path / "toy")
    folder = tmp_path / "toy" / "project"
    return Workspace(root=folder, home=folder)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Verify:
    """Runs verify; returns its exit code and all that was printed."""

    def run(
        workspace: Workspace, revision: str = "HEAD", stage: str | None = None, from_source: bool = False
    ) -> tuple[int, str]:
        with Store(workspace) as store:
            address = parse_address(revision)
            code = verify(workspace, store, address, stage, from_source, lambda line: print(line, flush=True))
        return code, capfd.readouterr().out

    return run


def rows(output: str) -> dict[str, str]:
    """The results in the table, by output."""
    found = re.finditer(r"^.*?((?:data|metrics|models)/\S+) +[\d,]+ +(\S.*?) *$", output, re.MULTILINE)
    return {match[1]: match[2] for match in found}


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "tmp" not in path.parts
    }


# what is refused at once


@pytest.fixture
def bare(tmp_path: Path) -> Workspace:
    """A repository in which nothing was ever reproduced."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / "dvc.yaml").write_text(STAGES)
    commit(tmp_path, "code")
    return Workspace(root=tmp_path, home=tmp_path)


def test_a_revision_that_is_none(bare: Workspace) -> None:
    with pytest.raises(PipelineError, match="Nothing is called 'muddy-bee'"):
        verify(bare, Store(bare), parse_address("muddy-bee"), None, False, print)


@pytest.mark.parametrize(
    ("model", "remedy"),
    [("tuned", "verify HEAD --stage tune"), ("main:transfer", "verify main --stage train_transfer")],
)
def test_a_model_is_not_verified_but_the_stage_that_made_it(bare: Workspace, model: str, remedy: str) -> None:
    with pytest.raises(PipelineError, match="verify reproduces a revision, which this is not") as caught:
        verify(bare, Store(bare), parse_address(model), None, False, print)
    assert caught.value.remedy == f"python -m pipeline {remedy}"


def test_a_revision_without_dvc_lock(bare: Workspace) -> None:
    with pytest.raises(PipelineError, match=r"there is no dvc[.]lock to compare with"):
        verify(bare, Store(bare), parse_address("HEAD"), None, False, print)


def test_a_stage_that_is_none_or_was_never_run(bare: Workspace) -> None:
    entry = "\n    cmd: x\n    outs:\n    - path: o\n      md5: h\n"
    bare.lock.write_text(f"schema: '2.0'\nstages:\n  fetch:{entry}")
    commit(bare.root, "locked")
    with pytest.raises(PipelineError, match="no stage 'trian'") as caught:
        verify(bare, Store(bare), parse_address("HEAD"), "trian", False, print)
    assert caught.value.expected == "one of fetch, train, evaluate"
    with pytest.raises(PipelineError, match="'train' has never been run") as caught:
        verify(bare, Store(bare), parse_address("main"), "train", False, print)
    assert caught.value.expected == "one that dvc.lock has: fetch"


def test_a_full_disk_is_one_message(bare: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**arguments: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    bare.lock.write_text("schema: '2.0'\nstages:\n  fetch: {cmd: x, outs: [{path: o, md5: h}]}\n")
    commit(bare.root, "locked")
    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(PipelineError, match="The disk is full"):
        verify(bare, Store(bare), parse_address("HEAD"), None, False, print)


# what is reproduced


@slow
def test_an_untouched_revision_agrees_and_nothing_of_the_project_changes(toy: Workspace, run: Verify) -> None:
    before = contents(toy.root)
    code, output = run(toy)
    assert code == 0
    assert rows(output) == {
        "data/fetched/images.txt": "from cache",
        "data/fetched/source.json": "from cache",
        "models/baseline": "agrees",
        "metrics/evaluate.json": "agrees",
    }
    assert "2 of 2 reproduced outputs agree, byte for byte; 2 taken from the cache" in output
    assert "Stage 'fetch' didn't change" in output
    # Its only output lies in git, and so in the clone; it is run all the same.
    assert "Running stage 'evaluate'" in output
    assert contents(toy.root) == before
    assert list((toy.root / ".dvc" / "tmp").glob("verify-*")) == []


@slow
def test_stages_record_into_a_store_that_is_thrown_away(
    toy: Workspace, run: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@team")
    _, output = run(toy, stage="train")
    assert f"MLflow at sqlite:///{toy.root}/.dvc/tmp/verify-" in output


@slow
def test_images_are_imported_anew_from_a_location_relative_to_the_project(
    toy: Workspace, run: Verify
) -> None:
    code, output = run(toy, from_source=True)
    assert (code, rows(output)["data/fetched/images.txt"]) == (0, "agrees")
    assert not (toy.root / ".dvc" / "tmp" / "images.txt").is_symlink()  # only within the temporary folder
    (toy.root.parent / "images.txt").write_text("other images")
    code, output = run(toy, from_source=True)
    assert code == EXIT_REFUSED
    assert rows(output)["data/fetched/images.txt"] == "differs"
    assert "fetch: the images at their source are no longer those in dvc.lock" in output
    assert "have given other bytes" not in output


@slow
def test_images_that_the_cache_lacks_are_imported_anew(toy: Workspace, run: Verify) -> None:
    shutil.rmtree(toy.root / ".dvc" / "cache")
    code, output = run(toy)
    assert code == 0
    missing = (
        "data/fetched/images.txt, data/fetched/source.json: not in DVC's cache, so that fetch imports it anew"
    )
    assert missing in output
    assert set(rows(output).values()) == {"agrees"}


@slow
def test_one_stage_on_inputs_from_the_cache(toy: Workspace, run: Verify) -> None:
    code, output = run(toy, stage="evaluate")
    assert code == 0
    assert rows(output) == {"metrics/evaluate.json": "agrees"}
    assert "python make.py train" not in output
    with pytest.raises(PipelineError, match="only one of the two"):
        run(toy, stage="evaluate", from_source=True)
    shutil.rmtree(toy.root / ".dvc" / "cache")
    with pytest.raises(PipelineError, match="inputs of evaluate are not all in DVC's cache"):
        run(toy, stage="evaluate")


@slow
def test_a_lock_that_was_not_made_by_the_committed_params_is_refused(toy: Workspace, run: Verify) -> None:
    toy.params.write_text(toy.params.read_text().replace("\nlr: 0.2", "\nlr: 0.3"))
    code, _ = run(toy)  # not committed, so not verified
    assert code == 0
    commit(toy.root, "other params, nothing reproduced")
    code, output = run(toy)
    assert code == EXIT_REFUSED
    assert rows(output) == {
        "data/fetched/images.txt": "from cache",
        "data/fetched/source.json": "from cache",
        "models/baseline": "differs: model.keras",
        "metrics/evaluate.json": "differs",
    }
    assert "train: params.yaml and dvc.lock differ in lr" in output
    assert "run 'dvc repro' there, and commit dvc.lock" in output
    assert "was not run again" not in output
    assert "have given other bytes" not in output
    assert "baseline test          0.9000 [0.8500, 0.9500]  0.5000  outside" in output
    assert "1 of 1 accuracies lie outside" in output


@slow
def test_a_lock_of_which_only_one_stage_was_run_again_is_refused_and_says_so(
    toy: Workspace, run: Verify
) -> None:
    toy.params.write_text(toy.params.read_text().replace("\nlr: 0.2", "\nlr: 0.3"))
    dvc(toy.root, "repro", "train")
    commit(toy.root, "evaluate left out")
    code, output = run(toy)
    assert code == EXIT_REFUSED
    assert rows(output)["models/baseline"] == "agrees"
    assert "evaluate: was not run again after these had changed: models/baseline" in output
    assert "All stages that it did make agree; --stage verifies one of them." in output
    assert "have given other bytes" not in output
    assert run(toy, stage="train")[0] == 0


@slow
def test_another_machine_gives_other_bytes_and_is_described(
    toy: Workspace, run: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_on = {"models/baseline": {"processor": "Z80", "keras": "0.1"}}
    monkeypatch.setattr(Index, "makers", lambda index, commit: made_on)
    monkeypatch.setenv("TOY", "xy")
    code, output = run(toy)
    assert code == EXIT_REFUSED
    assert "baseline test          0.9000 [0.8500, 0.9500]  0.9200  agrees" in output
    assert "All accuracies agree within their recorded intervals." in output
    assert "The same params, code and inputs gave different bytes in train" in output
    assert "    processor: Z80 there, " in output
    assert "(models/baseline)" in output
    assert "claimed for the same kind of machine only" in output
    # Without a run, the model's own card is asked.
    monkeypatch.setattr(Index, "makers", lambda index, commit: {})
    _, output = run(toy, stage="train")
    assert "    keras: 0.1 there, " in output
    assert "Scores were not computed" in output


@slow
def test_a_stage_that_fails_is_one_message(
    toy: Workspace, run: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY", "fail")
    with pytest.raises(PipelineError, match=r"results .* could not be reproduced: see the messages above"):
        run(toy)
    assert list((toy.root / ".dvc" / "tmp").glob("verify-*")) == []


@slow
def test_an_experiment_that_only_its_reference_keeps(toy: Workspace, run: Verify) -> None:
    dvc(toy.root, "exp", "run", "--name", "muddy-ant", "--set-param", "lr=0.4")
    git(toy.root, "checkout", "--quiet", "--force", "main")
    code, output = run(toy, "muddy-ant")
    assert (code, rows(output)["models/baseline"]) == (0, "agrees")


@slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_leaves_nothing_behind(
    toy: Workspace, project: Path, tmp_path: Path, number: int, code: int
) -> None:
    started = tmp_path / "started"
    environment = {**os.environ, "PYTHONPATH": str(project), "TOY": "slow", "STARTED": str(started)}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "verify"],
        cwd=toy.root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while not started.exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert started.exists()
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as the terminal does
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert errors.splitlines()[-1] == "verify: stopped"
    assert list((toy.root / ".dvc" / "tmp").glob("verify-*")) == []


@slow
def test_clones_of_killed_processes_are_removed(toy: Workspace) -> None:
    parent = toy.root / ".dvc" / "tmp"
    with temporary_clone(toy, git(toy.root, "rev-parse", "HEAD")) as clone:
        (own,) = parent.glob("verify-*")
        assert clone.workspace.root.is_relative_to(own)
        dead = parent / own.name.replace(str(os.getpid()), "4194305")  # beyond the highest number there is
        dead.mkdir()
        with temporary_clone(toy, git(toy.root, "rev-parse", "HEAD")):
            assert not dead.exists()
            assert own.exists()
