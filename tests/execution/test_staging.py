"""Outputs of a running stage: apart until they are whole, written by one process at a time."""

import errno
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pipeline.execution import staging
from pipeline.execution.staging import publish, staged
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import write_text
from pipeline.foundation.workspace import Workspace

DVC_YAML = """
stages:
  train_baseline:
    cmd: python -m pipeline.train_baseline
    deps: [data/arrays/train/images.npy]
    outs: [models/baseline/model.keras, models/baseline/card.json]
"""


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    workspace.stages.write_text(DVC_YAML)
    return workspace


def left(workspace: Workspace) -> list[str]:
    """What stages have left; the files of locks may stay."""
    paths = (workspace.root / ".unfinished").rglob("*")
    return [path.name for path in paths if path.suffix != ".lock"]


def write_model(workspace: Workspace, text: str) -> None:
    write_text(workspace.network("baseline"), text)
    write_text(workspace.card("baseline"), "{}")


def test_outputs_appear_when_they_are_published(project: Workspace) -> None:
    with staged(project, "train_baseline") as own:
        write_model(own, "network")
        assert not project.network("baseline").exists()
        publish(own)
        assert project.network("baseline").read_text() == "network"
    assert left(project) == []


def test_inputs_and_what_lies_beside_the_outputs_keep_their_place(project: Workspace) -> None:
    with staged(project, "train_baseline") as own:
        assert own.subset("train") == project.subset("train")
        assert own.card("transfer") == project.card("transfer")
        assert own.resume == project.resume
        assert own.card("baseline") != project.card("baseline")
        assert own.model("baseline") == own.card("baseline").parent


def test_a_stage_that_fails_leaves_the_former_outputs_and_what_else_is_there(project: Workspace) -> None:
    write_model(project, "former")
    write_text(project.model("baseline") / "mine.png", "picture")
    with pytest.raises(PipelineError), staged(project, "train_baseline") as own:
        write_model(own, "half")
        raise PipelineError("An input has changed.")
    assert project.network("baseline").read_text() == "former"
    assert (project.model("baseline") / "mine.png").read_text() == "picture"
    assert left(project) == []


def test_what_a_killed_stage_has_left_is_removed_by_the_next_one(project: Workspace) -> None:
    code = """
        import os, signal, sys
        from pathlib import Path
        from pipeline.execution.staging import staged
        from pipeline.foundation.workspace import Workspace

        root = Path(sys.argv[1])
        with staged(Workspace(root, root), "train_baseline") as own:
            own.network("baseline").parent.mkdir(parents=True)
            own.network("baseline").write_bytes(bytes(1000))
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(project.root)], check=False)
    assert "model.keras" in left(project)
    with staged(project, "report"):
        assert "model.keras" not in left(project)
    assert left(project) == []


def test_so_is_what_an_earlier_version_has_left_and_nothing_else(project: Workspace) -> None:
    for name in ("data/.raw.x2yi_k7a", "metrics/.report.abcdefgh", "data/.mine.abcdefgh", "data/.raw.old"):
        write_text(project.root / name / "image.png", "picture")
    with staged(project, "report"):
        pass
    left = sorted(path.name for name in ("data", "metrics") for path in (project.root / name).iterdir())
    assert left == [".mine.abcdefgh", ".raw.old"]


def test_two_processes_do_not_write_the_same_outputs(
    project: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(staging, "_WAIT_SECONDS", 0.2)
    with staged(project, "train_baseline") as own:
        write_model(own, "first")
        with pytest.raises(PipelineError, match="Another process is writing the outputs of train_baseline"):
            staged(project, "train_baseline").__enter__()
        with staged(project, "train_transfer"):  # others may
            pass
        publish(own)
    assert "waiting for it to end" in capsys.readouterr().out
    assert project.network("baseline").read_text() == "first"


HOLDER = """
    import sys, time
    from pathlib import Path
    from pipeline.execution.staging import staged
    from pipeline.foundation.workspace import Workspace

    root = Path(sys.argv[1])
    with staged(Workspace(root, root), sys.argv[2]):
        print("there", flush=True)
        time.sleep(float(sys.argv[3]))
"""


def holder(project: Workspace, stage: str, seconds: float) -> subprocess.Popen[str]:
    """Another process that runs a stage for some seconds."""
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), str(project.root), stage, str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    return process


def test_it_goes_on_when_the_other_process_has_ended(
    project: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    with holder(project, "train_baseline", 2.0) as other, staged(project, "train_baseline") as own:
        assert other.wait() == 0
        write_model(own, "second")
        publish(own)
    assert "waiting for it to end" in capsys.readouterr().out
    assert project.network("baseline").read_text() == "second"


def test_stages_that_run_at_once_do_not_see_each_other(
    project: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    with holder(project, "train_transfer", 3.0) as other:
        while other.poll() is None:
            with staged(project, "train_baseline"):
                pass
    assert other.returncode == 0
    assert capsys.readouterr().out == ""


def test_outputs_may_lie_on_another_disk(project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.replace

    def across_disks(path: Path, target: Path) -> Path:
        if ".unfinished" in path.parts and ".unfinished" not in target.parts:
            raise OSError(errno.EXDEV, "Invalid cross-device link", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", across_disks)
    with staged(project, "train_baseline") as own:
        write_model(own, "network")
        publish(own)
    assert project.network("baseline").read_text() == "network"
    assert sorted(path.name for path in project.model("baseline").iterdir()) == ["card.json", "model.keras"]


def test_a_folder_with_the_name_of_an_output_stays(project: Workspace) -> None:
    photograph = project.card("baseline") / "photograph.png"
    write_text(photograph, "picture")
    with (
        pytest.raises(PipelineError, match=r"card\.json is a folder"),
        staged(project, "train_baseline") as own,
    ):
        write_model(own, "network")
        publish(own)
    assert photograph.read_text() == "picture"
    assert not project.network("baseline").exists()
