"""The server as a process: starting, what it imports, ending."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from pipeline.foundation.errors import PipelineError
from pipeline.serving.server import _bound, _listening_explained
from tests.serving.live_server import encoded

PROGRAM = """
import sys
from pipeline.__main__ import main

code = main(["serve", *sys.argv[1:]])
heavy = {"tensorflow", "keras", "mlflow", "pandas", "sklearn", "matplotlib", "dvc"}
print("imported:", *sorted(heavy & set(sys.modules)))
sys.exit(code)
"""


class ServerProcess:
    """Attributes:
    url: where it answers.
    ready_seconds: from its start to its first answer on /readyz.
    """

    def __init__(self, project: Path, folder: Path, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "--port", str(port), *options],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(project)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while self.process.poll() is None:
            try:
                assert requests.get(self.url + "/readyz", timeout=5).status_code == 200
                break
            except requests.ConnectionError:
                time.sleep(0.01)
        self.ready_seconds = time.monotonic() - began

    def end(self, number: int = signal.SIGTERM) -> tuple[str, str, int]:
        """Send a signal and wait; returns stdout, stderr and the exit code."""
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=60)
        return output, errors, self.process.returncode


@pytest.fixture
def process(project: Path, tmp_path: Path, exported: Path) -> Iterator[ServerProcess]:
    """A server over an exported model, started in an empty folder."""
    server = ServerProcess(project, tmp_path, "--model", str(exported), "--workers", "1")
    yield server
    if server.process.poll() is None:
        server.end(signal.SIGKILL)


def test_it_starts_in_an_empty_folder_answers_and_ends_with_success(
    process: ServerProcess, tmp_path: Path
) -> None:
    response = requests.post(
        process.url + "/api/predict", files={"files": ("a.png", encoded(255))}, timeout=20
    )
    assert response.json()["results"][0]["predicted"] == "bright"
    output, errors, code = process.end()
    assert code == 0
    assert output.splitlines() == [
        f"Listening at {process.url}. Ctrl-C ends it.",
        "The server has ended.",
        "imported:",
    ]
    events = [json.loads(line)["event"] for line in errors.splitlines()]
    assert (events[:2], events[-1]) == (["model", "listening"], "ended")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_is_answered_before_it_ends(process: ServerProcess, number: int) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    body += encoded(255) + b"\r\n--b--\r\n"
    host, port = process.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n" % len(body)
        )
        connection.sendall(body[:50])
        time.sleep(0.3)
        process.process.send_signal(number)
        time.sleep(0.5)
        with pytest.raises(requests.ConnectionError):
            requests.get(process.url + "/healthz", timeout=5)
        connection.sendall(body[50:])
        answer = connection.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 200 ")
    output, _, code = process.end()
    assert (output.splitlines()[-2], code) == ("The server has ended.", 0)


@pytest.mark.slow
def test_it_is_ready_soon(project: Path, tmp_path: Path, exported: Path) -> None:
    """On a quiet machine within two seconds; to import TensorFlow, which it does without, takes ten."""
    seconds = []
    for _ in range(3):
        server = ServerProcess(project, tmp_path, "--model", str(exported))
        seconds.append(server.ready_seconds)
        server.end()
    assert min(seconds) < 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "nothing"], "Nothing is called 'nothing'."),
        (["--model", "EXPORTED", "--format", "litert_fp32"], "was not exported as litert_fp32"),
        (["--model", "EXPORTED", "--host", "203.0.113.1"], "The server cannot listen at 203.0.113.1, port"),
        (["--model", "EXPORTED", "--host", "a..b"], "The server cannot listen at a..b, port"),
        ([], "No model has been published here yet."),
    ],
)
def test_what_keeps_it_from_starting(
    project: Path, tmp_path: Path, exported: Path, options: list[str], message: str
) -> None:
    options = [str(exported) if option == "EXPORTED" else option for option in options]
    output, errors, code = ServerProcess(project, tmp_path, *options).end()
    assert errors.startswith("serve: ")
    assert message in errors
    assert "to fix: " in errors
    assert "Traceback" not in errors
    assert ("Listening" in output, code) == (False, 1)


def test_a_port_that_another_takes_in_the_last_moment() -> None:
    """The system lets both bind it, and only one listen."""
    with _bound("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with _bound("127.0.0.1", port) as second:
            first.listen()
            with (
                pytest.raises(PipelineError, match=f"cannot listen at 127.0.0.1, port {port}"),
                _listening_explained("127.0.0.1", port),
            ):
                second.listen()


def test_a_port_that_is_taken(project: Path, tmp_path: Path, process: ServerProcess, exported: Path) -> None:
    port = process.url.rpartition(":")[2]
    second = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--port", port, "--model", str(exported)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert f"The server cannot listen at 127.0.0.1, port {port}." in second.stderr
    assert second.returncode == 1
