"""What counts as a change of a stage's inputs while it runs, and what does not."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.execution import inputs
from pipeline.execution.inputs import StageInputs, unchanged
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.repository.dvc_hash import dvc_hash

DVC_YAML = """
stages:
  preprocess:
    cmd: python -m pipeline.preprocess
    outs: [arrays]
  train:
    cmd: python -m pipeline.train
    params: [lr, network]
    deps: [code/train.py, code/floor, arrays]
"""
PARAMS = "lr: 0.1  # peak\nnetwork: {widths: [1, 2]}\nreport: {title: x}\n"
LARGE = b"x" * (inputs._LARGE_BYTES + 1)

ChangesAfter = Callable[[Callable[[], object]], list[str]]


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> float:
    """Seconds after which the watcher has looked more than twice."""
    monkeypatch.setattr(inputs, "_POLL_SECONDS", 0.05)
    return 0.5


@pytest.fixture
def folder(workspace: Workspace) -> Path:
    """A project with one stage that reads code, data and params."""
    root = workspace.root
    (root / "code" / "floor").mkdir(parents=True)
    (root / "arrays").mkdir()
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / "params.yaml").write_text(PARAMS)
    (root / "code" / "train.py").write_text("train()")
    (root / "code" / "floor" / "fit.py").write_text("fit()")
    (root / "arrays" / "images.npy").write_bytes(LARGE)
    lock = f"stages:\n  preprocess:\n    outs:\n    - path: arrays\n      md5: {dvc_hash(root / 'arrays')}\n"
    (root / "dvc.lock").write_text(lock)
    return root


@pytest.fixture
def changes(folder: Path, workspace: Workspace) -> ChangesAfter:
    """What has changed for the stage `train` after somebody has done something."""

    def after(done: Callable[[], object]) -> list[str]:
        taken = StageInputs(workspace, "train")
        assert taken.changes() == []
        done()
        return taken.changes()

    return after


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What was read for its hash, in this order."""
    read: list[Path] = []

    def hash_and_note(path: Path) -> str:
        read.append(path)
        return dvc_hash(path)

    monkeypatch.setattr(inputs, "dvc_hash", hash_and_note)
    return read


def rewrite(path: Path, content: bytes) -> None:
    """As editors do: a new file takes the place of the old one."""
    new = path.with_name("new")
    new.write_bytes(content)
    new.replace(path)


def test_changed_added_and_deleted_files_are_named(changes: ChangesAfter, folder: Path) -> None:
    def edit() -> None:
        (folder / "code" / "train.py").write_text("train2()")
        (folder / "code" / "floor" / "more.py").write_text("")
        (folder / "code" / "floor" / "fit.py").unlink()

    assert changes(edit) == ["code/floor/fit.py", "code/floor/more.py", "code/train.py"]


def test_a_file_of_the_same_size_and_time_has_changed_if_its_content_has(
    changes: ChangesAfter, folder: Path
) -> None:
    path = folder / "code" / "train.py"
    before = path.stat()

    def edit() -> None:
        rewrite(path, b"brain()")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert changes(edit) == ["code/train.py"]


def test_what_is_put_back_has_not_changed(changes: ChangesAfter, folder: Path) -> None:
    def edit() -> None:
        rewrite(folder / "code" / "train.py", b"other")
        rewrite(folder / "code" / "train.py", b"train()")
        (folder / "params.yaml").write_text(PARAMS.replace("0.1", "0.2"))
        (folder / "params.yaml").write_text(PARAMS)

    assert changes(edit) == []


def test_a_large_file_is_compared_with_what_dvc_lock_says(
    changes: ChangesAfter, folder: Path, hashed: list[Path]
) -> None:
    images = folder / "arrays" / "images.npy"
    assert changes(lambda: rewrite(images, LARGE)) == []
    assert hashed == [folder / "arrays"]
    assert changes(lambda: rewrite(images, LARGE[:-1] + b"y")) == ["arrays/images.npy"]


def test_a_large_file_is_read_once_after_it_was_touched(
    folder: Path, workspace: Workspace, hashed: list[Path]
) -> None:
    taken = StageInputs(workspace, "train")
    rewrite(folder / "arrays" / "images.npy", LARGE)
    assert [taken.changes() for _ in range(3)] == [[], [], []]
    assert len(hashed) == 1


@pytest.mark.parametrize("name", ["__pycache__/fit.cpython-311.pyc", "fit.pyc", "fit.py~", ".fit.py.swp"])
def test_what_dvc_does_not_see_does_not_count(changes: ChangesAfter, folder: Path, name: str) -> None:
    (folder / ".dvcignore").write_text("# backups\n*~\n.*.swp\n")
    path = folder / "code" / "floor" / name

    def write() -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")

    assert changes(write) == []


def test_params_of_the_stage_count_and_nothing_else_of_params_yaml(
    changes: ChangesAfter, folder: Path
) -> None:
    params = folder / "params.yaml"
    other = PARAMS.replace("title: x", "title: y").replace("# peak", "")
    assert changes(lambda: params.write_text(other)) == []
    assert changes(lambda: params.write_text(other.replace("[1, 2]", "[1, 3]"))) == ["params.yaml (network)"]
    params.write_text(PARAMS)
    assert changes(params.unlink) == ["params.yaml (lr, network)"]


def test_without_dvc_yaml_or_entry_nothing_is_watched(folder: Path, workspace: Workspace) -> None:
    unknown = StageInputs(workspace, "unknown")
    (folder / "dvc.yaml").unlink()
    bare = StageInputs(workspace, "train")
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        path.unlink()
    assert (unknown.changes(), bare.changes()) == ([], [])


def test_a_change_at_the_end_fails_and_says_which_and_what_to_do(folder: Path, workspace: Workspace) -> None:
    failed: list[str] = []
    with (
        pytest.raises(PipelineError) as raised,
        unchanged(StageInputs(workspace, "train"), "train", failed.append),
    ):
        for number in range(7):
            (folder / "code" / "floor" / f"{number}.py").write_text("")
    named = ", ".join(f"code/floor/{number}.py" for number in range(5))
    assert raised.value.what == f"Inputs have changed while the stage ran: {named} and 2 more."
    assert "DVC looks at them at the end" in str(raised.value)
    assert "run the same command again" in str(raised.value)
    assert failed == [f"changed while the stage ran: {named} and 2 more"]


def test_the_stages_own_failure_is_not_hidden(folder: Path, workspace: Workspace) -> None:
    with pytest.raises(ValueError, match="own"), unchanged(StageInputs(workspace, "train"), "train", print):
        (folder / "code" / "train.py").write_text("other")
        raise ValueError("own")


def test_it_warns_at_once_and_says_when_all_is_well_again(
    folder: Path, workspace: Workspace, quick_looks: float, capsys: pytest.CaptureFixture[str]
) -> None:
    script, params = folder / "code" / "train.py", folder / "params.yaml"
    with unchanged(StageInputs(workspace, "train"), "train", print):
        script.write_text("other")
        params.write_text(PARAMS.replace("0.1", "0.2"))
        time.sleep(quick_looks)
        warned = capsys.readouterr().err
        script.write_text("train()")
        params.write_text(PARAMS)
        time.sleep(quick_looks)
    assert warned == (
        "train: warning: code/train.py, params.yaml (lr) changed while the stage runs: it will "
        "fail when it ends, unless the old content is back by then\n"
    )
    assert capsys.readouterr().err == "train: all inputs are back to what they were\n"


def test_a_change_for_a_moment_is_no_reason_to_fail(
    folder: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = folder / "params.yaml"
    monkeypatch.setattr(time, "sleep", lambda seconds: params.write_text(PARAMS))
    with unchanged(StageInputs(workspace, "train"), "train", print):
        params.write_text(PARAMS.replace("0.1", "0.2"))


def test_a_change_for_a_moment_is_no_reason_to_warn(
    folder: Path,
    workspace: Workspace,
    quick_looks: float,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As `dvc exp run --queue` changes params.yaml while it queues."""
    taken = StageInputs(workspace, "train")
    looks = iter([["params.yaml (lr)"]])
    monkeypatch.setattr(taken, "changes", lambda: next(looks, []))
    with unchanged(taken, "train", print):
        time.sleep(quick_looks)
    assert capsys.readouterr().err == ""


SCRIPT = """
    import sys, time
    from pathlib import Path
    from pipeline.execution.stage import run_stage
    from pipeline.params.base import PositiveInt, Section

    class Config(Section):
        threads: PositiveInt

    def run(workspace, config, tracker):
        tracker.run("toy", "key")
        print("training", flush=True)
        Path(sys.argv[1]).write_text(sys.argv[2])

    run_stage("toy", run, Config)
"""


@pytest.mark.parametrize(("content", "code"), [("before", 0), ("after", 1)])
def test_a_stage_whose_input_changes_has_failed_with_its_runs(
    project: Path, tmp_path: Path, content: str, code: int
) -> None:
    root, home = tmp_path / "queued", tmp_path / "home"
    for folder in (root, home):
        folder.mkdir()
        (folder / "input.txt").write_text("before")
    (root / "params.yaml").write_bytes((project / "params.yaml").read_bytes())
    (root / "dvc.yaml").write_text("stages: {toy: {cmd: x, params: [threads], deps: [input.txt]}}")
    environment = {
        **os.environ,
        "PYTHONPATH": str(project),
        "DVC_ROOT": str(home),
        # Nothing answers there, so that what is recorded stays in the journal.
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), "input.txt", content],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    (journal,) = home.glob(".journal/[0-9]*/events.jsonl")
    assert ('"event": "fail"' in journal.read_text()) == (code == 1)
    assert f'"status": "{"FAILED" if code else "FINISHED"}"' in journal.read_text()
    if code == 1:
        assert done.stderr.startswith("toy: Inputs have changed while the stage ran: input.txt.\n")
        assert "Traceback" not in done.stderr
