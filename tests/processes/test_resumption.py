"""A place for checkpoints: which work finds it again, when it goes away, and who must wait."""

import threading
from pathlib import Path

import pytest

from pipeline.foundation.digests import md5_file
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.processes import resumption
from pipeline.processes.resumption import Resumable, remove_leftovers, resumable


def entered(
    workspace: Workspace, seed: int = 0, data: str = "data", error: BaseException | None = None
) -> Resumable:
    """The place as the block finds it; it leaves a checkpoint and ends as `error` says."""
    with resumable(workspace, "train_baseline", {"seed": seed}, data) as place:
        (place.folder / "checkpoint").write_text("state")
        if error is not None:
            raise error
    return place


def killed(workspace: Workspace, seed: int = 0, data: str = "data") -> None:
    with pytest.raises(KeyboardInterrupt):
        entered(workspace, seed, data, KeyboardInterrupt())


def places(workspace: Workspace) -> list[Path]:
    return sorted(path for path in workspace.resume.iterdir() if path.is_dir())


def test_it_goes_away_at_a_good_end(workspace: Workspace) -> None:
    first, second = entered(workspace), entered(workspace)
    assert places(workspace) == []
    assert first.folder == second.folder
    assert first.run_key != second.run_key, "a new training is a new run"


def test_it_stays_after_a_kill_and_is_found_again(workspace: Workspace) -> None:
    killed(workspace)
    (folder,) = places(workspace)
    with resumable(workspace, "train_baseline", {"seed": 0}, "data") as place:
        assert place.folder == folder
        assert (place.folder / "checkpoint").read_text() == "state"
        key = place.run_key
    assert key
    killed(workspace)
    key_of_killed = (folder / "run_key").read_text()
    assert entered(workspace).run_key == key_of_killed


def test_it_lies_where_it_outlives_a_temporary_experiment(tmp_path: Path) -> None:
    workspace = Workspace(root=tmp_path / "temporary", home=tmp_path / "project")
    killed(workspace)
    assert places(workspace)[0].is_relative_to(tmp_path / "project" / ".resume")


def test_params_data_stage_and_code_have_places_of_their_own(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    killed(workspace)
    killed(workspace, seed=1)
    killed(workspace, data="other data")
    assert len(places(workspace)) == 3
    with pytest.raises(KeyboardInterrupt), resumable(workspace, "tune", {"seed": 0}, "data"):
        raise KeyboardInterrupt
    assert len(places(workspace)) == 4

    networks = tmp_path / "project" / "pipeline" / "networks"
    networks.mkdir(parents=True)
    (tmp_path / "project" / "dvc.yaml").write_text(
        "stages: {train_baseline: {deps: [pipeline/networks, data]}}"
    )
    monkeypatch.setattr(resumption, "_PROJECT", tmp_path / "project")
    for name, content in (("layer.py", "1"), ("layer.py", "2"), ("backbone.npz", "weights")):
        (networks / name).write_text(content)
        killed(workspace)
    assert len(places(workspace)) == 7, "two versions of the code, and other weights"
    (networks / "__pycache__").mkdir()
    (networks / "__pycache__" / "layer.pyc").write_text("compiled")
    (networks.parent / "elsewhere.py").write_text("not of this stage")
    killed(workspace)
    assert len(places(workspace)) == 7


def test_params_that_only_fail_again_leave_nothing(workspace: Workspace) -> None:
    with pytest.raises(PipelineError):
        entered(workspace, error=PipelineError("the loss is not finite"))
    assert places(workspace) == []


def test_a_full_disk_costs_no_checkpoint(workspace: Workspace) -> None:
    error = PipelineError("The disk is full.")
    error.__cause__ = OSError(28, "No space left on device")
    with pytest.raises(PipelineError):
        entered(workspace, error=error)
    assert len(places(workspace)) == 1


def test_a_second_process_with_the_same_work_waits(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    inside, may_end = threading.Event(), threading.Event()
    order: list[str] = []

    def first() -> None:
        with resumable(workspace, "train_baseline", {"seed": 0}, "data"):
            inside.set()
            assert may_end.wait(20)
            order.append("first ends")

    def second() -> None:
        with resumable(workspace, "train_baseline", {"seed": 0}, "data") as place:
            order.append("second begins")
            assert place.folder.is_dir()
            assert place.run_key

    threads = [threading.Thread(target=work) for work in (first, second)]
    threads[0].start()
    assert inside.wait(20)
    threads[1].start()
    threads[1].join(0.5)
    assert threads[1].is_alive()
    entered(workspace, seed=1)  # other work does not wait
    may_end.set()
    for thread in threads:
        thread.join(20)
    assert order == ["first ends", "second begins"]
    assert "another process is training exactly this" in capsys.readouterr().out


def ended(workspace: Workspace, output: Path) -> Resumable:
    """The place of work that has ended well and made `output`."""
    with resumable(workspace, "train_baseline", {"seed": 0}, "data") as place:
        (place.folder / "checkpoint").write_text("state")
        output.write_text("network")
        place.keep_until_noted(output)
    return place


def test_what_dvc_has_not_noted_is_not_done_again(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_STAGE", "train_baseline")
    output = tmp_path / "model.keras"
    first = ended(workspace, output)
    assert (first.folder / "checkpoint").exists()
    again = ended(workspace, output)  # DVC was killed, and starts the stage once more
    assert (again.folder, again.run_key) == (first.folder, first.run_key)

    workspace.lock.write_text(f"md5: {md5_file(output)}")
    killed(workspace, seed=1)
    remove_leftovers(workspace)
    assert not first.folder.exists()
    assert len(places(workspace)) == 1, "what was killed stays"
    assert ended(workspace, output).run_key != first.run_key, "it is forced, and done anew"


def test_locks_of_killed_processes_go_away(workspace: Workspace) -> None:
    killed(workspace)
    (workspace.resume / "tune-of-a-killed-one.lock").touch()
    with resumable(workspace, "train_baseline", {"seed": 1}, "data") as place:
        remove_leftovers(workspace)
        assert [lock.stem for lock in workspace.resume.glob("*.lock")] == [place.folder.name], "it is held"
    assert list(workspace.resume.glob("*.lock")) == []


def test_what_nobody_notes_is_done_again(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DVC_STAGE", raising=False)
    first, second = (ended(workspace, tmp_path / "model.keras") for _ in range(2))
    assert first.run_key != second.run_key
    assert places(workspace) == []
