"""Connections that are opened and not used, or used slowly.

uvicorn limits neither their number, nor the time and size of a request's head, nor the time that a client may
take to read its answer.
"""

import asyncio
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from pipeline.serving.limits import MEGABYTE, Limits
from pipeline.serving.responses import SECURITY_HEADERS, Error

HEAD_SECONDS = 10.0
"""For the head of a request to arrive, from the opening of the connection or its first byte on."""
HEAD_BYTES = 64 * 1024
_SUBSCRIBER_BITS = 64


def client_of(host: str) -> str:
    """What counts as one client: an address, or the network that a single subscriber has of IPv6."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return host
    if address.ipv4_mapped is not None:  # a socket for both versions shows clients of the older one so
        return str(address.ipv4_mapped)
    return str(ip_network((address, _SUBSCRIBER_BITS), strict=False))


def _answer(status: str, reason: str, **headers: str) -> bytes:
    """An error that the application does not see."""
    body = Error(error=reason).model_dump_json()
    all_headers = {
        **{name.replace("_", "-"): value for name, value in headers.items()},
        **SECURITY_HEADERS,
        "Cache-Control": "no-store",
        "Connection": "close",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n{body}".encode()


_BUSY = _answer("503 Service Unavailable", "too many open connections", Retry_After="1")
_INVALID = _answer("400 Bad Request", "not a valid HTTP request")


def bounded_protocol(limits: Limits) -> type[asyncio.Protocol]:
    """uvicorn's protocol for HTTP, with bounds on what happens outside the application."""

    class BoundedProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        # uvicorn's protocols have `connections`, all that are open, `cycle`, the latest request with its
        # answer, and asyncio's `transport` and `loop`.
        _client: str = ""
        _request: Any = None
        _received = 0
        _head_deadline: asyncio.TimerHandle | None = None
        _read_deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            # `pause_writing` is called at the first byte that the client is not ready for.
            transport.set_write_buffer_limits(high=0)
            peer = transport.get_extra_info("peername")
            self._client = client_of(peer[0]) if isinstance(peer, tuple) else ""
            from_client = sum(each._client == self._client for each in self.connections)
            if len(self.connections) > limits.connections or from_client > limits.connections_per_client:
                transport.write(_BUSY)
                transport.close()
            else:
                self._expect_head()

        def send_400_response(self, msg: str) -> None:
            self.transport.write(_INVALID)
            self.transport.close()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.transport.is_closing():
                return
            # The request that is being answered; None while the head of the next one is arriving.
            request = self.cycle if self.cycle is not None and not self.cycle.response_complete else None
            if request is not self._request:
                self._request, self._received = request, 0
            self._received += len(data)
            # What exceeds the application's own limit belongs to a body that it has refused.
            allowed = HEAD_BYTES if request is None else 2 * limits.body_bytes + MEGABYTE
            if self._received > allowed:
                self.transport.abort()
            elif request is not None:
                self._cancel_head_deadline()
            elif self._head_deadline is None:
                self._expect_head()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._read_deadline = self.loop.call_later(limits.receive_seconds, self._give_up)

        def resume_writing(self) -> None:
            self._cancel_read_deadline()
            super().resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            self._cancel_head_deadline()
            self._cancel_read_deadline()
            super().connection_lost(exc)

        def _expect_head(self) -> None:
            self._head_deadline = self.loop.call_later(HEAD_SECONDS, self._give_up)

        def _give_up(self) -> None:
            # Not `close`, which would wait for the client to take what is still to be sent.
            self.transport.abort()

        def _cancel_head_deadline(self) -> None:
            if self._head_deadline is not None:
                self._head_deadline.cancel()
                self._head_deadline = None

        def _cancel_read_deadline(self) -> None:
            if self._read_deadline is not None:
                self._read_deadline.cancel()
                self._read_deadline = None

    return BoundedProtocol
