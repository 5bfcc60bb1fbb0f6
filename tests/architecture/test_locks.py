"""The lists of packages: each holds what pyproject.toml asks for, and the server's is a part of the other."""

import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

Lock = dict[str, dict[Version, frozenset[str]]]
"""Hashes by package and version; a package may have several versions, for different versions of Python."""

FILES = {
    "serve": "requirements-serve.lock",
    "dev": "requirements.lock",
    "audit": "requirements-audit.lock",
}

IMPORTED = """
import sys
from pipeline.__main__ import main
assert main(["predict", "--model", sys.argv[1], sys.argv[2]]) == 0
import pipeline.serving.server, pipeline.serving.workers.worker
print("imported:", *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def read_lock(path: Path) -> Lock:
    found: Lock = defaultdict(dict)
    for block in re.split(r"\n(?=\S)", path.read_text(encoding="utf-8")):
        pinned = re.match(r"([\w.-]+)==(\S+)", block)
        assert pinned is not None, block
        name, version = pinned.groups()
        found[canonicalize_name(name)][Version(version)] = frozenset(re.findall(r"sha256:\w{64}", block))
    return found


def group(project: Path, name: str) -> list[Requirement]:
    """What a dependency group asks for, the groups that it includes too."""
    groups = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    found = []
    for entry in groups[name]:
        included: dict[str, Any] = entry if isinstance(entry, dict) else {}
        found += group(project, included["include-group"]) if included else [Requirement(entry)]
    return found


@pytest.mark.parametrize("name", FILES)
def test_a_list_has_what_pyproject_asks_for(project: Path, name: str) -> None:
    lock = read_lock(project / FILES[name])
    for requirement in group(project, name):
        versions = lock.get(canonicalize_name(requirement.name), {})
        fitting = [version for version in versions if version in requirement.specifier]
        assert versions, f"{requirement.name}: run 'make lock'"
        assert len(fitting) == len(versions), f"{requirement}: run 'make lock'"


def test_the_server_runs_on_the_versions_that_everything_else_is_tested_with(project: Path) -> None:
    serve, everything = (read_lock(project / FILES[name]) for name in ("serve", "dev"))
    assert serve
    for name, versions in serve.items():
        assert versions == everything[name], f"{name}: run 'make lock'"
        assert all(versions.values()), f"{name} has no hashes"


def test_the_server_needs_none_of_the_large_packages(project: Path) -> None:
    large = {"tensorflow", "tensorflow-cpu", "keras", "mlflow", "mlflow-skinny", "pandas", "scipy", "dvc"}
    assert not large & read_lock(project / FILES["serve"]).keys()
    assert "tensorflow-cpu" in read_lock(project / FILES["dev"])


def test_every_package_of_the_server_is_imported_by_it(project: Path, tmp_path: Path) -> None:
    """`predict` on an image, and what the server and its workers import when they start."""
    from tests.serving.tiny_model import export

    command = [
        sys.executable,
        "-c",
        IMPORTED,
        str(export(tmp_path)),
        str(project / "samples" / "digit-0.png"),
    ]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    modules = done.stdout.partition("imported: ")[2].split()
    sources = packages_distributions()
    imported = {canonicalize_name(name) for module in modules for name in sources.get(module, ())}
    asked = {canonicalize_name(requirement.name) for requirement in group(project, "serve")}
    # The model of this test is an ONNX file; tests/end_to_end/test_container.py has one for LiteRT.
    assert asked - imported == {"ai-edge-litert"}
