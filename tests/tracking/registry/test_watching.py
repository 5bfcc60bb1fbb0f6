"""Watching the champion: what a server is told, and when."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.tracking.registry.registry import CHAMPION
from pipeline.tracking.registry.watching import watch
from pipeline.tracking.store import Store

# MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


def test_only_what_is_new_is_told() -> None:
    readings: Iterator[int | PipelineError | None] = iter(
        [1, 1, 2, PipelineError("MLflow is down"), PipelineError("MLflow is down"), 2, None, None]
    )
    rounds = iter([True] * 7 + [False])
    told: list[dict[str, Any]] = []

    def champion() -> int | None:
        reading = next(readings)
        if isinstance(reading, PipelineError):
            raise reading
        return reading

    watch(champion, told.append, lambda: next(rounds))
    assert told == [
        {"version": 1},
        {"version": 2},
        {"problem": "MLflow is down"},
        {"version": 2},
        {"version": None},
    ]


@pytest.mark.slow
def test_the_alias_of_a_real_registry(store: Store, shared_workspace: Workspace, project: Path) -> None:
    client = store.client
    client.create_registered_model("light")
    for _ in range(2):
        client.create_model_version("light", source="file:///nowhere")
    command = [sys.executable, "-m", "pipeline.tracking.registry.watching", "light"]
    environment = {"PYTHONPATH": str(project), "PATH": ""}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=shared_workspace.root, env=environment, stdin=pipe, stdout=pipe, text=True
    ) as process:
        said, listening = process.stdout, process.stdin
        assert said is not None
        assert listening is not None

        def next_line() -> dict[str, Any]:
            line: dict[str, Any] = json.loads(said.readline())
            return line

        assert next_line() == {"version": None}
        client.set_registered_model_alias("light", CHAMPION, "1")
        assert next_line() == {"version": 1}
        client.set_registered_model_alias("light", CHAMPION, "2")
        assert next_line() == {"version": 2}
        listening.close()  # as when the server ends, or is killed
        assert process.wait(timeout=30) == 0
        assert said.read() == ""
