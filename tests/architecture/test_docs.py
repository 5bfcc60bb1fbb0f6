"""The pages at the top of the project and in docs/ name what is there."""

import re
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def contributing(project: Path) -> str:
    return (project / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_links_within_the_project_lead_somewhere(project: Path, tracked: list[str]) -> None:
    dead = []
    for page in [project / name for name in tracked if name.endswith(".md")]:
        for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                dead.append(f"{page.name}: {target}")
    assert dead == []


def test_the_guide_for_contributors_names_files_that_are_there(project: Path, contributing: str) -> None:
    named = re.findall(r"`((?:pipeline|tests|\.ci|\.devcontainer)/[\w./]*)`", contributing)
    assert len(named) >= 8
    assert [name for name in named if not (project / name).exists()] == []


def test_the_guide_for_contributors_names_commands_that_are_there(project: Path, contributing: str) -> None:
    targets = set(re.findall(r"^(\w+):", (project / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"^make (\w+)|`make (\w+)`", contributing, re.MULTILINE))
    commands = {name for pair in named for name in pair if name}
    assert {"test", "check", "lock"} <= commands
    assert commands <= targets


def test_the_guide_for_contributors_names_code_that_is_there(project: Path, contributing: str) -> None:
    """What it sends people to: tables, classes and the parts of a stage."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in (project / "pipeline").rglob("*.py"))
    named = set(re.findall(r"`([A-Z]\w+|run|run_stage)`", contributing))
    assert {"DATASETS", "Params", "Workspace", "Config", "PipelineError"} <= named
    defined = {name for name in named if re.search(rf"^(?:class |def |)?{name}\b", code, re.MULTILINE)}
    assert named - defined == set()


def test_the_changelog_has_the_version(project: Path) -> None:
    changelog = (project / "CHANGELOG.md").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.*)"', (project / "pyproject.toml").read_text(), re.MULTILINE)
    released = re.findall(r"^## (\S+)(?: - (\d{4}-\d\d-\d\d))?$", changelog, re.MULTILINE)
    assert released[0] == ("Unreleased", "")
    assert version is not None
    assert released[1][0] == version[1]
    assert all(day for _, day in released[1:])
