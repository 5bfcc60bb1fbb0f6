"""The outermost layer: an id, a log line and a count for every request, headers for every answer."""

import asyncio
import secrets
import time
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.serving.http.event_log import EventLog
from pipeline.serving.http.metrics import Metrics
from pipeline.serving.limits import Limits
from pipeline.serving.refusals import describe_defect
from pipeline.serving.responses import SECURITY_HEADERS, error_response

_LINGER_SECONDS = 2.0
_METHODS = ("GET", "HEAD", "POST", "OPTIONS")
"""A client could invent any number of others, and each would become a metric of its own."""
_CLIENT_GONE = 499
"""The status that logs and metrics give a request whose client did not wait for the answer."""


@dataclass
class _Exchange:
    """How far a request and its answer have come; `client_gone`: before there was an answer."""

    request_complete: bool
    status: int = 0
    client_gone: bool = False


class RequestRecorder:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, limits: Limits, metrics: Metrics, log: EventLog) -> None:
        self._app = app
        self._limits = limits
        self._metrics = metrics
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, identifier = time.perf_counter(), secrets.token_hex(8)
        exchange = _Exchange(request_complete=not _has_body(Headers(scope=scope)))

        async def recorded_receive() -> Message:
            message = await receive()
            disconnected = message["type"] == "http.disconnect"
            exchange.client_gone |= disconnected and not exchange.status
            exchange.request_complete |= disconnected or not message.get("more_body", False)
            return message

        async def recorded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                _complete_headers(MutableHeaders(scope=message), identifier, exchange)
                await send(message)
                return
            last = not message.get("more_body", False)
            await send({**message, "more_body": not last or not exchange.request_complete})
            if last and not exchange.request_complete:
                await self._linger(recorded_receive, exchange)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        try:
            await self._app(scope, recorded_receive, recorded_send)
        except Exception as error:  # the answer does not say what it was; the log says where
            self._log("defect", id=identifier, what=describe_defect(error))
            if not exchange.status:
                await error_response(500, "internal error")(scope, recorded_receive, recorded_send)
        finally:
            self._record(scope, identifier, exchange, time.perf_counter() - began)

    async def _linger(self, receive: Receive, exchange: _Exchange) -> None:
        """Read on for a moment after a refusal.

        If the connection were closed while the client is still sending, the client would not get the refusal.
        """
        remaining = self._limits.body_bytes
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while not exchange.request_complete and remaining > 0:
                    remaining -= len((await receive()).get("body", b""))
        except TimeoutError:
            return

    def _record(self, scope: Scope, identifier: str, exchange: _Exchange, seconds: float) -> None:
        status = _CLIENT_GONE if exchange.client_gone else exchange.status
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        milliseconds = round(1000 * seconds, 2)
        self._log("request", id=identifier, method=method, route=route, status=status, ms=milliseconds)


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _complete_headers(headers: MutableHeaders, identifier: str, exchange: _Exchange) -> None:
    headers.update(SECURITY_HEADERS)
    headers["X-Request-ID"] = identifier
    # What has an ETag may be kept, to be checked each time; everything else is between client and server.
    headers.setdefault("Cache-Control", "no-cache" if "etag" in headers else "no-store")
    if not exchange.request_complete:
        headers["Connection"] = "close"
