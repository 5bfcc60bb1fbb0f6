"""The server as a process: its socket, its signals, its log."""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from pipeline.foundation.errors import PipelineError
from pipeline.serving.application import Settings, create_application
from pipeline.serving.http.connections import bounded_protocol
from pipeline.serving.http.event_log import EventLog, LibraryLog
from pipeline.serving.limits import Limits

_KEEP_ALIVE_SECONDS = 15
_BACKLOG = 2048
"""Connections that the system holds until the server takes them."""


class _Server(uvicorn.Server):
    """Shuts down cleanly on SIGTERM and Ctrl-C, and counts that as success.

    uvicorn's own would finish what is in flight and then die of the signal anyway.
    """

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run_server(settings: Settings, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what is in flight.

    Args:
      settings: what is served, and to whom.
      host: name or address to bind.
      port: 0 takes a free one.
      say: is told the address, in words; events go to standard error as JSON.

    Raises:
      PipelineError: the address is taken or does not belong to this machine, or the model cannot be loaded.
    """
    log = EventLog(sys.stderr)
    _log_libraries(log)
    application = create_application(settings, log)
    config = http_config(application.asgi, settings.limits)

    async def serve(listening: socket.socket) -> None:
        async with application.running():
            with _listening_explained(host, port):  # two servers that start together can both bind it
                listening.listen(_BACKLOG)
            bound_host, bound_port = listening.getsockname()[:2]
            shown = f"[{bound_host}]" if ":" in bound_host else bound_host
            say(f"Listening at http://{shown}:{bound_port}. Ctrl-C ends it.")
            log("listening", host=bound_host, port=bound_port)
            await _Server(config).serve(sockets=[listening])

    with _bound(host, port) as listening, asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(serve(listening))
    log("ended")


def http_config(application: ASGIApp, limits: Limits) -> uvicorn.Config:
    """How HTTP is spoken; the caller enters the application's `running`."""
    return uvicorn.Config(
        application,
        http=bounded_protocol(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=round(limits.receive_seconds + 2 * limits.work_seconds),
    )


def _bound(host: str, port: int) -> socket.socket:
    with _listening_explained(host, port):
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        return listening


@contextmanager
def _listening_explained(host: str, port: int) -> Generator[None, None, None]:
    try:
        yield
    except (OSError, UnicodeError) as error:  # the latter where it cannot be a name
        raise PipelineError(
            f"The server cannot listen at {host}, port {port}.",
            found=getattr(error, "strerror", None) or str(error),
            remedy="choose another port: --port 8001; or an address of this machine: --host 127.0.0.1",
        ) from error


def _log_libraries(log: EventLog) -> None:
    """Turn warnings and errors of libraries into events, even those that were silenced before."""
    logging.disable(logging.NOTSET)
    logging.basicConfig(level=logging.WARNING, handlers=[LibraryLog(log)], force=True)
