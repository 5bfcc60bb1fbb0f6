"""A server in a thread of the test's own process, spoken to over real sockets."""

import asyncio
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import requests
import uvicorn
from PIL import Image

from pipeline.serving.application import Settings, create_application
from pipeline.serving.http.event_log import EventLog
from pipeline.serving.server import http_config


class LiveServer:
    """Attributes:
    url: where it answers.
    port: of 127.0.0.1.
    log: everything in its log so far.
    """

    def __init__(self, settings: Settings) -> None:
        self._written = io.StringIO()
        self._application = create_application(settings, EventLog(self._written))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._http = uvicorn.Server(http_config(self._application.asgi, settings.limits))
        self._failure: BaseException | None = None

    @property
    def log(self) -> str:
        return self._written.getvalue()

    @contextmanager
    def running(self) -> Iterator["LiveServer"]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            self._wait(thread)
            yield self
        finally:
            self._http.should_exit = True
            thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:
            self._failure = failure

    async def _serve(self) -> None:
        async with self._application.running():
            await self._http.serve(sockets=[self._listening])

    def _wait(self, thread: threading.Thread) -> None:
        while not self._http.started and thread.is_alive():
            thread.join(0.01)
        if self._failure is not None:
            raise self._failure

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=60, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        return requests.post(self.url + path, timeout=60, **options)

    def upload(self, *files: bytes, **options: Any) -> requests.Response:
        """Images as a form, called 0.png, 1.png ..."""
        parts = [("files", (f"{number}.png", data)) for number, data in enumerate(files)]
        return self.post("/api/predict", files=parts, **options)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


def encoded(level: int, width: int = 8, height: int = 8, format_name: str = "PNG") -> bytes:
    """An image file of one gray level."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), level, np.uint8)).save(buffer, format=format_name)
    return buffer.getvalue()


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until the condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
