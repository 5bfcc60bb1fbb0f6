"""The floors: who may import whom. The contracts are in pyproject.toml; here they are held and proven."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

NEEDS_MLFLOW = {"tracking"}
NEED_TENSORFLOW = {
    *("networks", "backbones", "training", "tuning", "pretraining", "deployment", "explanation"),
    *("train_baseline", "train_transfer", "tune", "evaluate"),
}
LINT_IMPORTS = Path(sys.executable).parent / "lint-imports"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture
def copy(project: Path, tmp_path: Path) -> Path:
    """The code and the contracts, to be broken."""
    shutil.copy(project / "pyproject.toml", tmp_path)
    shutil.copytree(
        project / "pipeline", tmp_path / "pipeline", ignore=lambda folder, names: _not_python(folder, names)
    )
    return tmp_path


def _not_python(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_file() and not name.endswith(".py")]


def test_the_contracts_are_kept(project: Path) -> None:
    result = lint_imports(project)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("contract", "exceptions"), [("mlflow", NEEDS_MLFLOW), ("tensorflow", NEED_TENSORFLOW)]
)
def test_all_stages_and_floors_but_the_named_ones_start_without_it(
    project: Path, contract: str, exceptions: set[str]
) -> None:
    """A new floor has to be listed; import-linter has exhaustive contracts only for layers."""
    pyproject: dict[str, Any] = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {each["id"]: each for each in pyproject["tool"]["importlinter"]["contracts"]}
    floors = {
        path.stem
        for path in (project / "pipeline").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    listed = {module.removeprefix("pipeline.") for module in contracts[contract]["source_modules"]}
    assert listed == floors - {"__init__"} - exceptions


@pytest.mark.parametrize(
    ("file", "code", "broken"),
    [
        pytest.param("pipeline/stray.py", "", "stray", id="a file on no floor"),
        pytest.param("pipeline/stray/__init__.py", "", "stray", id="a folder on no floor"),
        pytest.param("pipeline/foundation/x.py", "import pipeline.images", "images", id="an import upwards"),
        pytest.param(
            "pipeline/fetch.py", "import pipeline.split", "split", id="a stage that imports a stage"
        ),
        pytest.param("pipeline/scoring/x.py", "import pipeline.sources", "sources", id="a neighbor"),
        pytest.param(
            "pipeline/serving/workers/x.py", "import pipeline.serving.http", "http", id="HTTP in a worker"
        ),
        pytest.param("pipeline/images/x.py", "import mlflow", "mlflow", id="mlflow outside of tracking"),
        pytest.param("pipeline/reporting/x.py", "import keras", "keras", id="keras where it must not be"),
        pytest.param(
            "pipeline/report.py", "import pipeline.training", "training", id="keras through another floor"
        ),
    ],
)
def test_a_broken_rule_is_found(copy: Path, file: str, code: str, broken: str) -> None:
    path = copy / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'"""Breaks a rule."""\n\n{code}\n', encoding="utf-8")

    result = lint_imports(copy)

    assert result.returncode != 0
    assert "BROKEN" in result.stdout
    assert broken in result.stdout


def test_what_starts_quickly_imports_neither_tensorflow_nor_mlflow() -> None:
    modules = ["fetch", "split", "preprocess", "report", "__main__", "inference", "execution.stage"]
    program = "\n".join(
        [
            "import importlib, sys",
            f"for name in {modules!r}: importlib.import_module('pipeline.' + name)",
            "slow = {'tensorflow', 'keras', 'keras_tuner', 'mlflow'} & set(sys.modules)",
            "print(' '.join(sorted(slow)))",
        ]
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []
