"""What is set, removed or refused before a library reads it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def start(project: Path, tmp_path: Path) -> Start:
    """Starts `python -m pipeline --help`, in an empty folder, with variables."""

    def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *(command or ("-m", "pipeline", "--help"))],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(project), **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def keras_home(folder: Path, settings: Any) -> dict[str, str]:
    (folder / "keras.json").write_text(json.dumps(settings))
    return {"KERAS_HOME": str(folder)}


def test_what_decides_a_result_is_set(start: Start) -> None:
    source = "import os, pipeline; print(os.environ)"
    others = {
        "KERAS_BACKEND": "torch",
        "CUDA_VISIBLE_DEVICES": "0",
        "TF_USE_LEGACY_KERAS": "1",
        "KERAS_MAX_EPOCHS": "2",
        "XLA_FLAGS": "--nonsense",
        "TF_CPP_MIN_LOG_LEVEL": "0",
    }
    printed = start("-c", source, **others).stdout
    assert "'KERAS_BACKEND': 'tensorflow'" in printed
    assert "'CUDA_VISIBLE_DEVICES': '-1'" in printed
    assert not any(name in printed for name in ("LEGACY_KERAS", "MAX_EPOCHS", "XLA_FLAGS"))
    assert "'TF_CPP_MIN_LOG_LEVEL': '0'" in printed  # how much is logged is for people to choose


def test_packages_of_others_are_refused_by_name(start: Start, project: Path, tmp_path: Path) -> None:
    (tmp_path / "numpy").mkdir()
    (tmp_path / "PIL.py").touch()
    done = start(PYTHONPATH=f"{tmp_path}{os.pathsep}{project}")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "PYTHONPATH holds packages that would be used instead of this project's: numpy, PIL.\n"
    )
    assert done.stderr.endswith("  to fix:   unset PYTHONPATH\n")


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"floatx": "float16", "backend": "torch"}, "floatx='float16'"),
        ({"image_data_format": "channels_first", "epsilon": 0.1}, "epsilon=0.1, image_data_format='channels"),
    ],
)
def test_settings_of_keras_are_refused_by_name(
    settings: dict[str, Any], found: str, start: Start, tmp_path: Path
) -> None:
    done = start(**keras_home(tmp_path, settings))
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"Keras's settings in {tmp_path / 'keras.json'} would change every result.\n"
    )
    assert f"  found:    {found}" in done.stderr


def test_settings_that_keras_cannot_read_are_refused(start: Start, tmp_path: Path) -> None:
    done = start(**keras_home(tmp_path, ["float16"]))
    assert (done.returncode, "is not what Keras can read" in done.stderr) == (1, True)


def test_usual_settings_of_keras_are_none_of_our_business(start: Start, tmp_path: Path) -> None:
    usual = {"floatx": "float32", "epsilon": 1e-07, "backend": "jax", "image_data_format": "channels_last"}
    assert start(**keras_home(tmp_path, usual)).returncode == 0
    (tmp_path / "keras.json").write_text("{")  # which Keras passes over
    assert start(KERAS_HOME=str(tmp_path)).returncode == 0


def test_names_of_files_are_utf8_or_it_says_so(start: Start) -> None:
    assert start(LC_ALL="C").returncode == 0
    done = start(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (done.returncode, done.stderr) == (
        1,
        "File names, and with them classes, would be read as ascii.\n"
        "  expected: UTF-8\n  to fix:   set PYTHONUTF8=1\n",
    )


def test_without_any_home(start: Start) -> None:
    """A user without a name, as in some containers."""
    done = start("-c", HOMELESS)
    assert (done.stderr, done.stdout) == ("", "~/images\n")


HOMELESS = """
import os
from pipeline.foundation.environment import require_usual_keras
from pipeline.foundation.files import path_of
del os.environ["HOME"]
os.getuid = lambda: 54321
require_usual_keras()
print(path_of("~/images"))
"""
