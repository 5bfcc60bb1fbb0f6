"""What Python leaves behind below a dependency must not make a stage run again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DVC_YAML = "stages:\n  stage:\n    cmd: python -m source.stage\n    deps: [source]\n    outs: [out]\n"


@pytest.fixture
def repository(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC repository of one stage, with the project's .dvcignore."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "repository"
    (folder / "source").mkdir(parents=True)
    (folder / "source" / "stage.py").write_text("open('out', 'w').close()\n", encoding="utf-8")
    (folder / "dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
    dvc(folder, "init", "--no-scm", "--quiet")
    shutil.copy(project / ".dvcignore", folder)
    return folder


def dvc(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-m", "dvc", *arguments]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_byte_code_is_not_seen_and_code_is(repository: Path) -> None:
    dvc(repository, "repro", "--quiet")
    cache = repository / "source" / "__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "stage.cpython-311.pyc").write_bytes(b"byte code")
    (repository / "source" / "stage.pyc").write_bytes(b"byte code")
    assert "up to date" in dvc(repository, "status")

    (repository / "source" / "other.py").touch()
    assert "modified:           source" in dvc(repository, "status")
