"""Workflows, hooks and the development container: what they call is there, and works on this checkout."""

import json
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet
from ruamel.yaml import YAML

GITHUB, GITLAB = ".github/workflows/check.yml", ".gitlab-ci.yml"
CONTAINER = ".devcontainer/devcontainer.json"


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def github(project: Path) -> dict[str, Any]:
    job: dict[str, Any] = read_yaml(project / GITHUB)["jobs"]["check"]
    return job


@pytest.fixture(scope="module")
def gitlab(project: Path) -> dict[str, Any]:
    job: dict[str, Any] = read_yaml(project / GITLAB)["check"]
    return job


@pytest.fixture(scope="module")
def hooks(project: Path) -> dict[str, dict[str, Any]]:
    repositories = read_yaml(project / ".pre-commit-config.yaml")["repos"]
    # From nowhere else: another repository would bring tools in versions of its own.
    assert [repository["repo"] for repository in repositories] == ["local"]
    return {hook["id"]: hook for hook in repositories[0]["hooks"]}


@pytest.fixture(scope="module")
def container(project: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((project / CONTAINER).read_text(encoding="utf-8"))
    return values


def run_hook(folder: Path, hook: dict[str, Any], names: list[str]) -> subprocess.CompletedProcess[str]:
    """As pre-commit runs it on these files, but that nothing is formatted anew."""
    pattern, exclude = hook.get("files", ""), hook.get("exclude", "^$")
    suffixes = (".py", ".pyi") if "python" in hook.get("types_or", ()) else ("",)
    chosen = [
        name
        for name in names
        if name.endswith(suffixes) and re.search(pattern, name) and not re.search(exclude, name)
    ]
    files = chosen if hook.get("pass_filenames", True) else []
    check = ["--check"] if hook["id"] == "ruff-format" else []
    command = [*shlex.split(hook["entry"]), *check, *files]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


# --- CI -----------------------------------------------------------------------------------------------


def test_both_services_run_what_ci_runs_and_nothing_else(
    project: Path, github: dict[str, Any], gitlab: dict[str, Any]
) -> None:
    assert [step["run"] for step in github["steps"] if "run" in step] == [".ci/run"]
    assert gitlab["script"] == [".ci/run"]
    assert os.access(project / ".ci/run", os.X_OK)
    assert github["timeout-minutes"] == 120
    assert gitlab["timeout"] == "2 hours"


def test_they_run_on_the_oldest_and_the_newest_python(
    project: Path, github: dict[str, Any], gitlab: dict[str, Any]
) -> None:
    pyproject = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    supported = SpecifierSet(pyproject["project"]["requires-python"])
    fitting = [f"3.{minor}" for minor in range(100) if f"3.{minor}" in supported]
    assert github["strategy"]["matrix"]["python"] == [fitting[0], fitting[-1]]
    assert gitlab["parallel"]["matrix"] == [{"PYTHON_VERSION": [fitting[0], fitting[-1]]}]
    assert gitlab["image"].startswith("python:$PYTHON_VERSION-")


def test_they_keep_packages_until_the_list_changes(
    project: Path, github: dict[str, Any], gitlab: dict[str, Any]
) -> None:
    python = next(step["with"] for step in github["steps"] if "setup-python" in step.get("uses", ""))
    assert python["cache-dependency-path"] in gitlab["cache"]["key"]["files"]
    assert (project / python["cache-dependency-path"]).is_file()
    assert gitlab["variables"]["PIP_CACHE_DIR"] == f"$CI_PROJECT_DIR/{gitlab['cache']['paths'][0]}"


def test_they_hand_out_the_report_that_the_run_leaves(
    project: Path, github: dict[str, Any], gitlab: dict[str, Any]
) -> None:
    running = next(step for step in github["steps"] if "run" in step)
    uploading = next(step for step in github["steps"] if "upload-artifact" in step.get("uses", ""))
    assert running["env"]["REPORT"] == "${{ github.workspace }}/" + uploading["with"]["path"]
    assert gitlab["variables"]["REPORT"] == f"$CI_PROJECT_DIR/{gitlab['artifacts']['paths'][0]}"
    assert 'cp -R metrics/report "$REPORT"' in (project / ".ci/run").read_text(encoding="utf-8")


def test_actions_have_a_version_and_may_change_nothing(project: Path, github: dict[str, Any]) -> None:
    used = [step["uses"] for step in github["steps"] if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in used), used
    assert read_yaml(project / GITHUB)["permissions"] == {"contents": "read"}


# --- hooks --------------------------------------------------------------------------------------------


def test_every_hook_runs_and_finds_nothing(
    project: Path, hooks: dict[str, dict[str, Any]], tracked: list[str]
) -> None:
    for hook in hooks.values():
        assert hook["language"] == "system"
        result = run_hook(project, hook, tracked)
        assert result.returncode == 0, f"{hook['id']}: {result.stdout}{result.stderr}"


@pytest.mark.parametrize(
    ("hook", "content"),
    [
        pytest.param("ruff-format", "x=1\n", id="another format"),
        pytest.param("ruff-check", "import os\n", id="an import that is not used"),
        pytest.param("large-files", "#" * (512 * 1024 + 1), id="a large file"),
    ],
)
def test_a_hook_refuses_what_it_is_there_for(
    project: Path, tmp_path: Path, hooks: dict[str, dict[str, Any]], hook: str, content: str
) -> None:
    file = tmp_path / "a module.py"
    file.write_text(f'"""A module."""\n\n{content}', encoding="utf-8")
    result = run_hook(project, hooks[hook], [str(file)])
    assert result.returncode != 0
    assert file.name in result.stdout + result.stderr


def test_a_file_of_exactly_the_limit_may_pass(
    project: Path, tmp_path: Path, hooks: dict[str, dict[str, Any]]
) -> None:
    (tmp_path / "file").write_bytes(bytes(512 * 1024))
    assert run_hook(project, hooks["large-files"], [str(tmp_path / "file")]).returncode == 0


# --- development container ----------------------------------------------------------------------------


def test_the_container_is_set_up_by_make(project: Path, container: dict[str, Any]) -> None:
    make, target = container["postCreateCommand"].split()
    assert make == "make"
    subprocess.run(["make", "-n", target], cwd=project, capture_output=True, check=True)
    python = container["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert python == "${containerWorkspaceFolder}/.venv/bin/python"


def test_the_container_has_what_ci_would_install(project: Path, container: dict[str, Any]) -> None:
    recipe = (project / CONTAINER).with_name(container["build"]["dockerfile"]).read_text(encoding="utf-8")
    run = (project / ".ci/run").read_text(encoding="utf-8")
    packages = [shlex.split(line)[2] for line in re.findall(r"^ *add_package .*", run, re.MULTILINE)]
    assert len(packages) >= 4
    assert set(packages) <= set(recipe.split())
    assert f"useradd --create-home --shell /bin/bash {container['remoteUser']}\n" in recipe
