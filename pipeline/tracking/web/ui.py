"""The MLflow UI on this machine, over the project's own store."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from typing import IO

from pipeline.foundation.errors import PipelineError
from pipeline.tracking.redaction import without_credentials
from pipeline.tracking.store import Store, is_server
from pipeline.tracking.web.views import page_with_runs

_HOST = "127.0.0.1"
_PORTS_TO_TRY = 50
_START_SECONDS = 120.0
_STOP_SECONDS = 10.0


def serve_ui(store: Store, experiment: str, port: int, say: Callable[[str], None]) -> None:
    """Serve the UI until Ctrl-C; where MLFLOW_TRACKING_URI names a server, only say where to look.

    Args:
      store: whose runs are shown.
      experiment: name of the experiment whose page is announced.
      port: the first port to try.
      say: is told the address.

    Raises:
      PipelineError: the store or the server does not start, or there is no free port.
    """
    if is_server(store.address):
        say(page_with_runs(store, without_credentials(store.address).rstrip("/"), experiment))
        return
    free = _free_port(port)
    address = f"http://{_HOST}:{free}"
    page = page_with_runs(store, address, experiment)
    if free != port:
        say(f"Port {port} is taken; using {free}.")
    with tempfile.TemporaryFile() as log:
        server = _start(store, free, log)
        try:
            _wait_until_ready(server, address, log)
            say(page)
            say("Ctrl-C ends it.")
            if server.wait() != 0:
                raise PipelineError("The MLflow server has ended.", found=_tail(log))
        finally:
            _stop(server)


def _start(store: Store, port: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    artifacts = store.workspace.tracking_artifacts.as_uri()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        _HOST,
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    return subprocess.Popen(
        [*command, "--backend-store-uri", store.address, "--artifacts-destination", artifacts],
        # Without job execution it is one process instead of eight.
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,  # Ctrl-C is for us; we end the server with all its processes
    )


def _wait_until_ready(server: subprocess.Popen[bytes], address: str, log: IO[bytes]) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):  # nosec: http, on this machine
                return
        except OSError:
            time.sleep(0.1)
    raise PipelineError("The MLflow server does not start.", found=_tail(log))


def _stop(server: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(_STOP_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return without_credentials(log.read().decode(errors="replace").strip()[-1000:]) or "no output"


def _free_port(first: int) -> int:
    for port in range(first, min(first + _PORTS_TO_TRY, 65536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return port
    raise PipelineError(
        f"No port from {first} on is free.", remedy="name another: python -m pipeline ui --port ..."
    )
