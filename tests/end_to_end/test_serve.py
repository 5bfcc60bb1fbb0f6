"""`serve` as people type it: it follows the champion of a real registry, and no request is lost by it."""

import io
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from PIL import Image
from ruamel.yaml import YAML

from pipeline.foundation.workspace import CANDIDATES
from tests.end_to_end.clones import Clone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FORMAT = "litert_fp32"


@pytest.fixture
def registered(clone: Clone) -> Clone:
    """A clone in which version 1 is champion and exported; version 2 is registered and nothing else."""
    path, yaml = clone.folder / "params.yaml", YAML()
    params = yaml.load(path)
    # A test subset of 24 images says little about calibration, and a busy machine nothing about speed.
    params["registry"] |= {"max_ece": 1.0, "max_latency_ms": 60000.0, "max_recall_loss": 1.0}
    yaml.dump(params, path)
    first, second, _ = CANDIDATES
    pipeline(clone, "register", first)
    pipeline(clone, "promote", "--force", "--reason", "the first one")
    pipeline(clone, "export", "--format", FORMAT)
    pipeline(clone, "register", second)
    return clone


def pipeline(clone: Clone, *arguments: str) -> str:
    return clone.run(sys.executable, "-m", "pipeline", *arguments)


@dataclass
class Serving:
    """A running server.

    Attributes:
      log: its events so far.
    """

    url: str
    log: list[dict[str, Any]] = field(default_factory=list)

    def ready(self) -> dict[str, Any]:
        response = requests.get(self.url + "/readyz", timeout=10)
        assert response.status_code == 200
        values: dict[str, Any] = response.json()
        return values

    def version(self) -> int:
        return int(self.ready()["model"]["version"])

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.log if event["event"] == kind]


@contextmanager
def serving(clone: Clone) -> Iterator[Serving]:
    """`python -m pipeline serve`, which then ends with success at SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "serve", "--port", "0"],
        cwd=clone.folder,
        env=clone.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    said = process.stdout.readline()
    address = re.search(r"http://\S+\d", said)
    assert address is not None, said + process.stderr.read()
    server = Serving(address[0])
    events = process.stderr
    reader = threading.Thread(target=lambda: server.log.extend(map(json.loads, events)))
    reader.start()
    try:
        yield server
    finally:
        process.terminate()
        code = process.wait(60)
        reader.join()
        process.stdout.close()
        process.stderr.close()
    assert code == 0


@contextmanager
def load(url: str, clients: int = 4) -> Iterator[list[tuple[int, int]]]:
    """Clients that ask without a pause; yields status and version of every answer, as they come."""
    buffer = io.BytesIO()
    Image.new("RGB", (24, 24), "gray").save(buffer, format="PNG")
    answers: list[tuple[int, int]] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def ask() -> None:
        try:
            with requests.Session() as session:
                while not stop.is_set():
                    files = {"files": ("a.png", buffer.getvalue())}
                    response = session.post(f"{url}/api/predict", files=files, timeout=30)
                    answers.append((response.status_code, response.json()["model"]["version"]))
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come about"
        time.sleep(0.1)


def test_the_champion_moves_there_and_back_under_load(registered: Clone) -> None:
    """Not one request fails, and people are told what the new champion still lacks."""
    with serving(registered) as server:
        until(lambda: server.ready()["following"]["champion_version"] == 1)
        with load(server.url) as answers:
            until(lambda: len(answers) > 100)

            pipeline(registered, "promote", "--force", "--reason", "to try it")
            until(lambda: server.ready()["following"]["problem"])
            assert server.ready()["following"] == {
                "published": True,
                "registry": True,
                "champion_version": 2,
                "problem": "the champion of image-classifier is version 2, which is not exported here; "
                "run python -m pipeline export models:/image-classifier@champion",
            }
            assert server.version() == 1

            pipeline(registered, "export", "models:/image-classifier@champion", "--format", FORMAT)
            until(lambda: server.version() == 2)
            assert server.ready()["following"]["problem"] is None

            pipeline(registered, "rollback", "--reason", "it was worse")
            until(lambda: server.version() == 1)
            seen = len(answers)
            until(lambda: len(answers) > seen + 100)

    assert {status for status, _ in answers} == {200}
    changes = [
        version for place, (_, version) in enumerate(answers) if not place or answers[place - 1][1] != version
    ]
    assert (changes[0], changes[-1], set(changes)) == (1, 1, {1, 2})
    assert [event["version"] for event in server.events("model")] == [1, 2, 1]
    (problem,) = server.events("not followed")
    assert problem["problem"].startswith("the champion of image-classifier is version 2")
    assert server.events("switching")[-1]["why"] == "champion"
    assert {event["status"] for event in server.events("request")} == {200}
    assert server.log[-1]["event"] == "ended"
