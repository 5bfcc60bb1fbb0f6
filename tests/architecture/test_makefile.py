"""The data sets' settings in the Makefile fit params.yaml, and LOCATION means what `make help` says."""

import os
import shlex
import subprocess
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
    params = applied(project, settings(project, target, "LOCATION=../copies/some data: 1"))
    assert params.fetch.location == "../copies/some data: 1"
    assert params.fetch.dataset == (dataset if target != "cifar10" else "folder")


def test_cifar10_without_a_copy_is_downloaded(project: Path) -> None:
    assert applied(project, settings(project, "cifar10")).fetch.dataset == "cifar10"
    assert "fetch.location" not in settings(project, "cifar10")


def test_a_copy_of_cifar10_is_read_as_what_it_is(project: Path, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "cifar-10-binary.tar.gz").touch()

    def dataset(location: str) -> str:
        return settings(project, "cifar10", f"LOCATION={location}")["fetch.dataset"]

    assert dataset(str(mirror)) == "cifar10"
    assert dataset("copies/cifar-10-binary.tar.gz") == "cifar10"
    assert dataset("https://mirror.example/cifar") == "cifar10"
    assert dataset("copies/cifar10.tar.gz") == "folder"
    assert dataset(str(tmp_path)) == "folder"


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


def serve_options(project: Path, *arguments: str) -> list[str]:
    """What `make serve` adds to `python -m pipeline serve`."""
    return shlex.split(make(project, "-n", "serve", *arguments).partition("-m pipeline serve")[2])


def test_serve_hands_its_options_on(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "workstation")  # as some shells have it, for something else
    assert serve_options(project) == []
    given = serve_options(project, "PORT=9000", "HOST=::1", "MODEL=my exports/light/1")
    assert sorted(zip(given[::2], given[1::2], strict=True)) == [
        ("--host", "::1"),
        ("--model", "my exports/light/1"),
        ("--port", "9000"),
    ]


def test_help_lists_every_command(project: Path) -> None:
    text = make(project)
    targets = "repro test check ui serve cifar10 mnist fashion_mnist folder lock"
    for target in targets.split():
        assert f"\n  {target} " in text
