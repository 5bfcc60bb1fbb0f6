"""Files appear whole or not at all, and a full disk or a forbidden folder is one clear error."""

import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import atomic_folder, atomic_path, read_json, require, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_under_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "table.csv"
    with atomic_path(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        assert not path.exists()
        # Same folder, so that the renaming is atomic; same suffix, as some libraries go by it.
        assert temporary.parent == path.parent
        assert temporary.suffix == ".csv"
        temporary.write_text("whole", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "whole"
    assert names(path.parent) == ["table.csv"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"old": 1})
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise RuntimeError
    assert read_json(path) == {"old": 1}
    assert names(tmp_path) == ["value.json"]


def test_a_folder_takes_the_place_of_the_old_one_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "arrays"
    folder.mkdir()
    (folder / "stale").touch()
    with atomic_folder(folder) as temporary:
        (temporary / "fresh").touch()
        assert names(folder) == ["stale"]
    assert names(folder) == ["fresh"]
    assert names(tmp_path) == ["arrays"]


def test_a_failure_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "arrays"
    folder.mkdir()
    (folder / "old").touch()
    with pytest.raises(RuntimeError), atomic_folder(folder) as temporary:
        (temporary / "fresh").touch()
        raise RuntimeError
    assert names(folder) == ["old"]
    assert names(tmp_path) == ["arrays"]


@pytest.mark.parametrize("can_exchange", [True, False], ids=["exchange", "two renames"])
def test_a_kill_at_any_point_loses_neither_folder(tmp_path: Path, project: Path, can_exchange: bool) -> None:
    folder = tmp_path / "arrays"
    for point in itertools.count():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in ("a", "b"):
            (folder / name).write_text("old", encoding="utf-8")
        killed = _replaced_and_killed(project, folder, point, can_exchange)
        if not can_exchange:
            # Another writer comes, and fails.
            with pytest.raises(RuntimeError), atomic_folder(folder):
                raise RuntimeError
        assert names(folder) == ["a", "b"], point
        assert {path.read_text(encoding="utf-8") for path in folder.iterdir()} in ({"old"}, {"new"}), point
        if not killed:
            break
    assert point > 5, "the points at which it was killed"


_REPLACING = """
import itertools, os, signal, sys
from pathlib import Path
from pipeline.foundation import files

folder, point, can_exchange = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True"
if not can_exchange:
    files._exchanged = lambda first, second: False
steps = itertools.count()

def kill_at_the_point(event, arguments):
    if next(steps) == point:
        os.kill(os.getpid(), signal.SIGKILL)

with files.atomic_folder(folder) as temporary:
    for name in ("a", "b"):
        (temporary / name).write_text("new")
    sys.addaudithook(kill_at_the_point)
"""


def _replaced_and_killed(project: Path, folder: Path, point: int, can_exchange: bool) -> bool:
    """Replace a folder in a process that kills itself before a step of it; False where it has fewer steps.

    Steps are what Python audits: whatever has to do with files is among them.
    """
    command = [sys.executable, "-c", _REPLACING, str(folder), str(point), str(can_exchange)]
    code = subprocess.run(command, cwd=project, check=False).returncode
    assert code in (0, -signal.SIGKILL)
    return code != 0


def test_files_get_ordinary_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_text(tmp_path / "atomic", "")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "plain_folder").mkdir()
    with atomic_folder(tmp_path / "atomic_folder"):
        pass
    assert (tmp_path / "atomic_folder").stat().st_mode == (tmp_path / "plain_folder").stat().st_mode


def test_json_is_readable_and_exact(tmp_path: Path) -> None:
    value = {"accuracy": 0.1, "name": "Käse", "nested": [1, None]}
    write_json(tmp_path / "value.json", value)
    text = (tmp_path / "value.json").read_text(encoding="utf-8")
    assert text.endswith("\n")
    assert "Käse" in text
    assert read_json(tmp_path / "value.json") == value


def test_a_number_that_json_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "value.json", {"loss": float("nan")})
    assert names(tmp_path) == []


def test_a_damaged_json_file_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "value.json").write_text("<<<<<<< HEAD", encoding="utf-8")
    with pytest.raises(PipelineError, match=r"value\.json is not valid JSON"):
        read_json(tmp_path / "value.json")


def test_a_missing_input_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="dvc repro"):
        require(tmp_path / "catalogue.csv")


def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="disk is full"), atomic_path(tmp_path / "big"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert names(tmp_path) == []


def test_a_folder_without_write_access_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="report could not be written"), atomic_path(tmp_path / "report"):
        raise PermissionError(errno.EACCES, "Permission denied", os.fspath(tmp_path / ".report.x"))


def test_another_unreadable_file_is_not_blamed_on_the_one_being_written(tmp_path: Path) -> None:
    source = tmp_path / "source" / "image.png"
    with pytest.raises(PermissionError), atomic_path(tmp_path / "data" / "images.tar"):
        raise PermissionError(errno.EACCES, "Permission denied", os.fspath(source))
