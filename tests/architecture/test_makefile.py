"""The data sets' settings in the Makefile fit params.yaml, LOCATION means what `make help` says, and
`make clean` deletes nothing that is anybody's."""

import os
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.params.whole import Params, parse_params


def make(project: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    result = subprocess.run(
        ["make", *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def settings(project: Path, *arguments: str) -> dict[str, str]:
    """The -S settings with which a target would start the pipeline."""
    command = next(
        line for line in make(project, "-n", *arguments).splitlines() if "-m pipeline repro" in line
    )
    words = shlex.split(command)
    pairs = [words[index + 1] for index, word in enumerate(words) if word == "-S"]
    return dict(pair.split("=", 1) for pair in pairs)


LOCATIONS = (
    "../copies/some data: 1",
    "/x/Bob's $photos",
    'a "quoted" folder',
    "C:\\pictures\\",
    "${HOME}/$(id)/`id`/%&;#*?[a](b){c},=~ !",
    "möwen/カモメ",
    "-pictures",
)


def arguments(copy: Path, *command: str) -> list[str]:
    """What Python is started with, last."""
    python = copy / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text('#!/bin/sh\nfor word; do printf "%s\\n" "$word"; done >arguments\n')
    python.chmod(0o755)
    (copy / "requirements.lock").touch()
    (copy / ".venv" / "requirements.lock").touch()
    make(copy, *command)
    return (copy / "arguments").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("target", ["cifar10", "mnist", "fashion_mnist", "folder"])
def test_a_location_arrives_as_it_was_typed(copy: Path, target: str, location: str) -> None:
    """Through make, the shell and the command line, to what DVC is given."""
    assert f"--location={location}" in arguments(copy, target, f"LOCATION={location}")


@pytest.mark.parametrize("model", LOCATIONS)
def test_so_does_a_model(copy: Path, model: str) -> None:
    assert f"--model={model}" in arguments(copy, "serve", f"MODEL={model}", "PORT=8001")


def applied(project: Path, overrides: dict[str, str]) -> Params:
    """params.yaml with the settings, checked as a stage checks them."""
    yaml = YAML(typ="safe")
    values: dict[str, Any] = yaml.load((project / "params.yaml").read_text(encoding="utf-8"))
    for key, text in overrides.items():
        *sections, name = key.split(".")
        section = values
        for part in sections:
            section = section[part]
        assert name in section, f"{key} is not in params.yaml"
        section[name] = yaml.load(text)
    return parse_params(values)


@pytest.mark.parametrize(
    ("target", "dataset"),
    [
        ("cifar10", "cifar10"),
        ("mnist", "mnist"),
        ("fashion_mnist", "fashion_mnist"),
        ("folder", "folder"),
    ],
)
def test_the_settings_of_a_data_set_are_valid_params(project: Path, target: str, dataset: str) -> None:
    given = settings(project, target, "LOCATION=somewhere")
    params = applied(project, given | {"fetch.location": "somewhere"})
    assert params.fetch.dataset == dataset


def test_cifar10_without_a_copy_is_downloaded(project: Path) -> None:
    assert applied(project, settings(project, "cifar10")).fetch.dataset == "cifar10"
    assert "--location" not in make(project, "-n", "cifar10")


def test_limit_and_further_settings_are_passed_on(project: Path) -> None:
    overrides = settings(project, "cifar10", "LIMIT=10000", "SET=lr=0.1 train_baseline.epochs=45")
    params = applied(project, overrides)
    assert params.split.train_limit == 10_000
    assert params.lr == 0.1
    assert params.train_baseline.epochs == 45


def test_own_settings_come_last_and_win(project: Path) -> None:
    overrides = settings(project, "cifar10", "SET=augmentation.shift=0.2")
    assert applied(project, overrides).augmentation.shift == 0.2


def test_repro_takes_settings_too(project: Path) -> None:
    assert settings(project, "repro") == {}
    assert settings(project, "repro", "SET=lr=0.1") == {"lr": "0.1"}


def test_a_folder_needs_a_location(project: Path) -> None:
    result = subprocess.run(["make", "folder"], cwd=project, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "make folder needs LOCATION=..." in result.stderr


def test_an_extra_that_there_is_not(copy: Path) -> None:
    """Whatever is typed, none of it reaches a shell."""
    command = ["make", "setup", "EXTRA=$$(touch typed)`touch typed`"]
    result = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("There is no such extra.\n  expected: one of lite\n")
    assert not (copy / "typed").exists()


def test_every_extra_has_a_list_with_hashes(project: Path) -> None:
    groups = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    (line,) = (
        line for line in (project / "Makefile").read_text().splitlines() if line.startswith("EXTRAS :=")
    )
    for extra in line.removeprefix("EXTRAS :=").split():
        listed = (project / f"requirements-{extra}.lock").read_text(encoding="utf-8")
        assert all(f"{package} \\\n    --hash=" in listed for package in groups[extra])


def test_serve_hands_its_options_on(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "workstation")  # as some shells have it, for something else
    assert arguments(copy, "serve") == ["-m", "pipeline", "serve"]
    given = arguments(copy, "serve", "PORT=9000", "HOST=::1", "MODEL=my exports/light/1")
    assert given[3:] == ["--host=::1", "--port=9000", "--model=my exports/light/1"]


def test_help_lists_every_command(project: Path) -> None:
    text = make(project)
    targets = "repro test check ui serve cifar10 mnist fashion_mnist folder lock doctor clean"
    for target in targets.split():
        assert f"\n  {target} " in text


@pytest.fixture
def copy(project: Path, tmp_path: Path) -> Path:
    """The Makefile and the files of a few folders of code, where anything may be deleted."""
    shutil.copy(project / "Makefile", tmp_path)
    for name in (".ci", "benchmarks", "notebooks", "pipeline", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "module.py").touch()
    return tmp_path


def ignored(project: Path) -> dict[str, list[str]]:
    """The patterns of .gitignore by the comment above them."""
    found: dict[str, list[str]] = {}
    for line in filter(None, (project / ".gitignore").read_text(encoding="utf-8").splitlines()):
        if line.startswith("#"):
            patterns = found.setdefault(line.removeprefix("# "), [])
        else:
            patterns.append(line)
    return found


def test_clean_removes_what_the_tools_leave_and_keeps_the_rest(project: Path, copy: Path) -> None:
    """What git ignores is either listed in .gitignore as made by tools, or stays."""
    patterns = ignored(project)
    made_by_tools = patterns.pop("tools")
    byte_code, caches = made_by_tools[:2], made_by_tools[2:]
    assert byte_code == ["__pycache__/", "*.pyc"]
    kept = [pattern.strip("/").replace("*", "-wal") for group in patterns.values() for pattern in group]
    assert {".venv", "data", "models", "mlflow.db-wal", "mlartifacts", ".downloads"} <= set(kept)
    for name in [*kept, "photographs/__pycache__", ".dvc/cache"]:
        (copy / name).mkdir(parents=True)
        (copy / name / "content").touch()
    before = {path for path in copy.rglob("*") if path.is_file()}
    for name in [*caches, "pipeline/images/__pycache__", "tests/__pycache__", ".ci/__pycache__"]:
        (copy / name).mkdir(parents=True)
        (copy / name / "module.cpython-311.pyc").touch()
    (copy / "pipeline" / "module.pyc").touch()

    said = make(copy, "clean")

    assert {path for path in copy.rglob("*") if path.is_file()} == before
    folders = {Path(name).parts[0].removesuffix("-wal") for name in kept}
    assert {name for name in folders if name not in said} == set()


def test_clean_does_not_follow_links(copy: Path) -> None:
    elsewhere = copy / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    (copy / ".mypy_cache").symlink_to(elsewhere)
    (copy / "tests" / "__pycache__").symlink_to(elsewhere)
    make(copy, "clean")
    assert not (copy / ".mypy_cache").exists()
    assert (elsewhere / "file").exists()


@pytest.mark.parametrize(
    ("target", "expected"),
    [("repro", "-m pipeline repro"), ("ui", "-m pipeline ui"), ("doctor", "-m pipeline doctor")],
)
def test_the_path_of_the_checkout_may_be_any(
    project: Path, tmp_path: Path, target: str, expected: str
) -> None:
    folder = tmp_path / "my clöne (2) of Bob's $HOME; 100 %"
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text('#!/bin/sh\necho "$PWD" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    shutil.copy(project / "Makefile", folder)
    for place in (folder, folder / ".venv"):
        shutil.copy(project / "requirements.lock", place)
    assert make(folder, target) == f"{folder} {expected}\n"


@pytest.mark.parametrize("installed", [False, True], ids=["nothing", "a part"])
def test_doctor_says_that_packages_are_missing_and_installs_none(copy: Path, installed: bool) -> None:
    if installed:  # an installation that was stopped leaves Python, but no copy of requirements.lock
        python = copy / ".venv" / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.symlink_to(shutil.which("true") or "/bin/true")
    before = list(copy.rglob("*"))
    result = subprocess.run(["make", "doctor"], cwd=copy, capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "to fix:   make setup" in result.stderr
    assert list(copy.rglob("*")) == before


def test_doctor_does_not_renew_the_packages_that_it_looks_at(project: Path) -> None:
    commands = make(project, "-n", "doctor")
    assert "-m pipeline doctor" in commands
    assert "pip install" not in commands
