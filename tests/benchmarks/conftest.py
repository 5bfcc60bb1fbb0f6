"""Competitors that need nothing but Python, and the benchmarks as people start them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Benchmark = Callable[..., str]


@pytest.fixture
def benchmark(project: Path) -> Benchmark:
    """Runs `python -m benchmarks.NAME` with arguments, and returns what it prints."""

    def run(name: str, *arguments: str) -> str:
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    return run
