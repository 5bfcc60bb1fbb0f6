"""What several tests of the project's files read."""

import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tracked(project: Path) -> list[str]:
    """The files of the working tree that git knows."""
    listed = subprocess.run(["git", "ls-files"], cwd=project, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (project / name).is_file()]
