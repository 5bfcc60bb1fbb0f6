"""Who gets in, and what every answer carries."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from pipeline.serving.application import Settings
from pipeline.serving.http.access_control import Access, is_loopback
from pipeline.serving.limits import Limits
from tests.serving.conftest import StartServer
from tests.serving.live_server import LiveServer, encoded

TOKEN = "a token of sixteen or more characters".replace(" ", "-")
SITE = "https://example.org"


@pytest.fixture(scope="module")
def guarded(exported: Path) -> Iterator[LiveServer]:
    """A server with a token."""
    settings = Settings(folder=exported, limits=Limits(workers=1), access=Access(token=TOKEN))
    with LiveServer(settings).running() as running:
        yield running


@pytest.mark.parametrize("path", ["/", "/api/model", "/nothing", "/healthz", "/static/main.js", "/static/x"])
def test_every_answer_has_the_security_headers(server: LiveServer, path: str) -> None:
    headers = server.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Permissions-Policy"].startswith("camera=(self), microphone=()")
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:9999", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("[", 403),
        ("", 403),
    ],
)
def test_only_this_machines_own_names_are_answered_to(server: LiveServer, host: str, status: int) -> None:
    """A name of somebody else's that points here (DNS rebinding) would make his page this server's own."""
    assert server.get("/api/model", headers={"Host": host}).status_code == status


def test_other_names_when_they_are_allowed(start: StartServer) -> None:
    one = start(access=Access(hosts=frozenset({"images.example"})))
    assert one.get("/api/model", headers={"Host": "images.example:80"}).status_code == 200
    assert one.get("/api/model", headers={"Host": "other.example"}).status_code == 403
    all_names = start(access=Access(hosts=None))
    assert all_names.get("/api/model", headers={"Host": "other.example"}).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_may_use_any_name(server: LiveServer, path: str) -> None:
    assert server.get(path, headers={"Host": "10.1.2.3:8000"}).status_code == 200


@pytest.mark.parametrize("origin", [SITE, "null", "http://127.0.0.1:1", "http://[", "http://[::1", "//", ""])
def test_other_web_sites_may_not_post(server: LiveServer, origin: str) -> None:
    response = server.upload(encoded(0), headers={"Origin": origin})
    assert response.status_code == 403
    assert "other websites" in response.json()["error"]


def test_its_own_page_may_post(server: LiveServer) -> None:
    assert server.upload(encoded(0), headers={"Origin": server.url}).status_code == 200


def test_another_web_site_when_it_is_allowed(start: StartServer) -> None:
    server = start(access=Access(origins=frozenset({SITE}), token=TOKEN))
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = requests.options(server.url + "/api/predict", headers={"Origin": SITE, **asked}, timeout=10)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == SITE
    headers = {"Origin": SITE, "Authorization": f"Bearer {TOKEN}"}
    response = server.upload(encoded(0), headers=headers)
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == SITE
    other = server.upload(encoded(0), headers={**headers, "Origin": "https://other.example"})
    assert other.status_code == 403
    assert "Access-Control-Allow-Origin" not in other.headers


@pytest.mark.parametrize(
    "path",
    [
        *("/api/model", "/api/predict", "/v1/models/light", "/v1/models/light:predict", "/metrics"),
        *("/docs", "/model", "/openapi.json"),
    ],
)
@pytest.mark.parametrize(
    "authorization", [None, "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é"]
)
def test_without_the_token_nothing_is_answered(
    guarded: LiveServer, path: str, authorization: str | None
) -> None:
    headers = {"Authorization": authorization.encode()} if authorization else {}
    method = "POST" if "predict" in path else "GET"
    response = requests.request(method, guarded.url + path, headers=headers, timeout=10)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_with_the_token(guarded: LiveServer) -> None:
    headers = {"Authorization": f"bearer {TOKEN}"}
    for path in ("/api/model", "/metrics"):
        assert guarded.get(path, headers=headers).status_code == 200
    assert guarded.upload(encoded(0), headers=headers).status_code == 200
    for path in ("/", "/static/main.js", "/healthz", "/readyz"):
        assert guarded.get(path).status_code == 200
    assert TOKEN not in guarded.log
    assert TOKEN not in repr(Access(token=TOKEN))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("myhost", False),
    ],
)
def test_which_addresses_only_this_machine_reaches(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
