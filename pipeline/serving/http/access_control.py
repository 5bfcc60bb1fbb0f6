"""What every request passes before a route sees it: its host, its origin, its token."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import FileResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pipeline.serving.refusals import Refused
from pipeline.serving.responses import error_response

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_PROTECTED = ("/api/", "/v1/", "/metrics")
_DESCRIPTIONS = ("/docs", "/model", "/openapi.json")
"""What tells of the model and of the server."""
_PROBES = ("/healthz", "/readyz")
"""Programs that ask for them often know the server by its address alone."""


@dataclass(frozen=True)
class Access:
    """Who may use the server.

    Attributes:
      hosts: names that requests may address it by, besides those of this machine; None: any name.
      origins: other websites (https://example.org) whose scripts may use it.
      token: secret that /api, /v1, /metrics and the descriptions of model and server ask for as a bearer
        token; None: they do not ask.
    """

    hosts: frozenset[str] | None = frozenset()
    origins: frozenset[str] = frozenset()
    token: str | None = field(default=None, repr=False)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that is bound to `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class AccessControl:
    """ASGI middleware that turns away requests that may not use the server.

    `pages` are files without secrets, by their paths, that ask for the token: a browser without it gets them.
    """

    def __init__(self, app: ASGIApp, access: Access, pages: Mapping[str, Path]) -> None:
        self._app = app
        self._access = access
        self._pages = pages
        self._hosts = None if access.hosts is None else {*_LOOPBACK_NAMES, *access.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            try:
                self._check(scope, headers)
            except Refused as refusal:
                answer = error_response(refusal.status, refusal.reason, refusal.headers)
                page = self._pages.get(scope["path"]) if "text/html" in headers.get("accept", "") else None
                if page is not None and refusal.status == 401:
                    answer = FileResponse(page, 401, refusal.headers, "text/html; charset=utf-8")
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        if scope["path"] not in _PROBES:
            self._check_host(headers)
        if scope["method"] not in _SAFE_METHODS:
            self._check_origin(headers)
        path = scope["path"]
        if scope["method"] != "OPTIONS" and (path.startswith(_PROTECTED) or path in _DESCRIPTIONS):
            self._check_token(headers)

    def _check_host(self, headers: Headers) -> None:
        """Another website can point its own name at this machine, and its scripts here (DNS rebinding)."""
        if self._hosts is not None and _host_name(headers) not in self._hosts:
            raise Refused(403, "this server does not answer to that host name (see --allow-host)")

    def _check_origin(self, headers: Headers) -> None:
        """With every POST, browsers send the site that the script comes from."""
        origin = headers.get("origin")
        if origin is None or origin in self._access.origins:
            return
        if _site(origin) != headers.get("host", "").lower():
            raise Refused(403, "requests from other websites are not accepted (see --allow-origin)")

    def _check_token(self, headers: Headers) -> None:
        if self._access.token is None:
            return
        scheme, _, token = headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(token.strip().encode(), self._access.token.encode())
        if scheme.lower() != "bearer" or not same:
            raise Refused(401, "a bearer token is required", {"WWW-Authenticate": "Bearer"})


def _site(origin: str) -> str | None:
    """Host and port; None where it is no address."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _host_name(headers: Headers) -> str:
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""
