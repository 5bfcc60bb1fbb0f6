"""DVC as a process of ours."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands.reproducing.dvc_process import dvc_environment, dvc_status, run_dvc


def test_the_stages_get_this_python(project: Path, tmp_path: Path) -> None:
    """DVC runs whatever `python` is first on the PATH."""
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  which:\n    cmd: python -c 'import sys; print(sys.prefix)'\n"
    )
    source = (
        "import sys; from pathlib import Path;"
        "from pipeline.commands.reproducing.dvc_process import dvc_environment, run_dvc;"
        "sys.exit(run_dvc(Path.cwd(), ['repro', '--quiet'], dvc_environment(), print))"
    )
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=tmp_path, check=True)
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(project), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert sorted(done.stdout.splitlines()) == ["$ dvc repro --quiet", sys.prefix], done.stderr


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """DVC's list of locks as a full disk leaves it."""
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], cwd=tmp_path, check=True)
    file = tmp_path / ".dvc" / "tmp" / "rwlock"
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
    return file


def test_a_broken_list_of_locks_is_removed(tmp_path: Path, broken: Path) -> None:
    said: list[str] = []
    assert run_dvc(tmp_path, ["status", "--quiet"], dvc_environment(), said.append) == 0
    assert said[0].startswith("removed .dvc/tmp/rwlock")
    assert run_dvc(tmp_path, ["status", "--quiet"], dvc_environment(), said.append) == 0
    assert len(said) == 3  # and two commands


def test_who_only_reads_a_file_of_dvc_is_no_dvc(tmp_path: Path, broken: Path) -> None:
    folder = tmp_path / "dvc-project"
    (folder / ".dvc" / "tmp").mkdir(parents=True)
    broken.rename(folder / ".dvc" / "tmp" / "rwlock")
    reader = subprocess.Popen(
        ["tail", "-f", "/dev/null", folder / "dvc.yaml"], cwd=folder, stderr=subprocess.DEVNULL
    )
    try:
        said: list[str] = []
        dvc_status(folder, [], said.append)
        assert said == ["removed .dvc/tmp/rwlock, which an interrupted DVC had left broken"]
    finally:
        reader.kill()
        reader.wait()


def test_not_while_a_dvc_runs(tmp_path: Path, broken: Path) -> None:
    program = tmp_path / "dvc"
    program.write_text("import time; time.sleep(60)")
    other = subprocess.Popen([sys.executable, program], cwd=tmp_path)
    try:
        said: list[str] = []
        run_dvc(tmp_path, ["version"], dvc_environment(), said.append)
        assert broken.exists()
        assert f"stays as long as process {other.pid} runs" in said[0]
    finally:
        other.kill()
        other.wait()
