"""Too many, too slow, too much: what happens at the limits, and that the server is well afterwards."""

import json
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.serving.http import connections
from pipeline.serving.http.connections import client_of
from pipeline.serving.routes.prediction import Prediction, PredictResponse
from tests.serving.conftest import StartServer
from tests.serving.live_server import LiveServer, encoded, until

HEAD = b"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=b\r\n"


def begin(server: LiveServer, count: int) -> list[socket.socket]:
    """Requests that do not go on."""
    sockets = [server.connect() for _ in range(count)]
    for each in sockets:
        each.sendall(HEAD + b"Content-Length: 1000\r\n\r\n--b")
    return sockets


def hold(server: LiveServer, count: int) -> list[socket.socket]:
    """Requests that do not go on, and that the server has noticed."""
    sockets = begin(server, count)
    time.sleep(0.3)
    return sockets


def test_too_many_requests_of_one_client(start: StartServer) -> None:
    server = start(requests_per_client=2)
    held = hold(server, 2)
    response = server.upload(encoded(0))
    assert (response.status_code, response.headers["Retry-After"]) == (429, "1")
    assert response.json() == {"error": "too many requests at once from this address"}
    assert server.get("/readyz").status_code == 200
    for each in held:
        each.close()
    until(lambda: server.upload(encoded(0)).status_code == 200)


def test_too_many_requests_of_all_clients(start: StartServer) -> None:
    server = start(requests=2)
    held = hold(server, 2)
    response = server.post("/v1/models/light:predict", json={})
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    for each in held:
        each.close()
    until(lambda: server.upload(encoded(0)).status_code == 200)


def test_too_many_bytes_of_all_clients(start: StartServer) -> None:
    server = start(buffered_bytes=100_000)
    assert server.upload(b"\0" * 60_000).status_code == 415
    response = server.upload(b"\0" * 120_000)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert server.upload(b"\0" * 60_000).status_code == 415  # what was refused is not counted forever


def test_a_body_that_does_not_arrive(start: StartServer) -> None:
    server = start(receive_seconds=0.5)
    (held,) = hold(server, 1)
    with held:
        refusal = answer(held)
    assert refusal.startswith(b"HTTP/1.1 408 ")
    assert refusal.endswith(b'{"error":"the request did not arrive within 0.5 s"}')


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: 127"])
def test_a_head_that_does_not_arrive(
    start: StartServer, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.4)
    server = start()
    with server.connect() as slow:
        slow.sendall(sent)
        began = time.monotonic()
        assert closed(slow)
        assert time.monotonic() - began < 5


def test_a_second_head_that_does_not_arrive(start: StartServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request of a connection earns no longer patience for the next."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.4)
    server = start()
    with server.connect() as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert answer(slow).startswith(b"HTTP/1.1 200 ")
        slow.sendall(b"GET /healthz HT")
        assert closed(slow)


def test_a_head_without_end(server: LiveServer) -> None:
    with server.connect() as endless:
        endless.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        with pytest.raises(OSError):  # noqa: PT011  (reset or broken pipe)
            for _ in range(10_000):
                endless.sendall(b"X-Header: " + b"x" * 1000 + b"\r\n")


def test_a_large_upload_and_then_another_request_on_the_same_connection(server: LiveServer) -> None:
    with server.connect() as kept:
        form = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n' + b"\0" * 500_000
        form += b"\r\n--b--\r\n"
        kept.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(form) + form)
        assert answer(kept).startswith(b"HTTP/1.1 415 ")
        kept.sendall(b"GET /healthz HTTP/1.1\r\n")
        time.sleep(0.1)
        kept.sendall(b"Host: 127.0.0.1\r\n\r\n")
        assert answer(kept).startswith(b"HTTP/1.1 200 ")


def test_too_many_connections(start: StartServer) -> None:
    server = start(connections=3)
    idle = [server.connect() for _ in range(3)]
    time.sleep(0.2)
    with server.connect() as refused:
        refusal = answer(refused)
    assert refusal.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1\r\n" in refusal
    assert b"X-Content-Type-Options: nosniff\r\n" in refusal
    assert json.loads(refusal.split(b"\r\n\r\n")[1]) == {"error": "too many open connections"}
    for each in idle:
        each.close()
    until(lambda: server.get("/healthz").status_code == 200)


def test_one_client_does_not_take_all_connections(start: StartServer) -> None:
    server = start(connections_per_client=3)
    idle = [server.connect() for _ in range(3)]
    time.sleep(0.2)
    with server.connect() as refused:
        assert answer(refused).startswith(b"HTTP/1.1 503 ")
    with socket.create_connection(idle[0].getpeername(), 10, ("127.0.0.2", 0)) as other:
        other.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer(other).startswith(b"HTTP/1.1 200 ")
    for each in idle:
        each.close()


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_what_counts_as_one_client(host: str, client: str) -> None:
    assert client_of(host) == client


def test_clients_that_go_away_in_the_middle(server: LiveServer) -> None:
    for _ in range(20):
        for each in begin(server, 3):
            each.close()
    until(lambda: '"status": 499' in server.log)
    assert "defect" not in server.log
    assert server.upload(encoded(255)).json()["results"][0]["predicted"] == "bright"


def test_a_request_that_needs_too_much_memory(start: StartServer) -> None:
    """As an array of text, 8 MB of body would become 8 GB."""
    server = start()
    body = {"instances": ["a" * 8_000_000, *["b"] * 255]}
    response = server.post("/v1/models/light:predict", json=body)
    assert response.status_code == 422
    assert "memory" in response.json()["error"]
    assert server.upload(encoded(0)).status_code == 200


def test_many_clients_at_once_lose_nothing_and_mix_nothing_up(start: StartServer) -> None:
    server = start(workers=2)
    levels = [number % 256 for number in range(1024)]

    def ask(level: int) -> float:
        (result,) = PredictResponse.model_validate(server.upload(encoded(level)).json()).results
        assert isinstance(result, Prediction)
        return next(row.probability for row in result.classes if row.name == "bright")

    with ThreadPoolExecutor(64) as clients:
        answers = list(clients.map(ask, levels))
    assert answers == pytest.approx([level / 255 for level in levels], abs=1e-6)


def test_the_page_stays_quick_while_workers_are_busy(start: StartServer) -> None:
    server = start()
    heavy = threading.Thread(target=server.upload, args=[encoded(9, 4000, 4000)] * 4)
    heavy.start()
    slowest = 0.0
    while heavy.is_alive():
        began = time.monotonic()
        assert server.get("/healthz").status_code == 200
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 1


def answer(connection: socket.socket) -> bytes:
    """One whole answer, head and body."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(10_000)
    head, _, body = received.partition(b"\r\n\r\n")
    (length,) = map(int, re.findall(rb"content-length: (\d+)", head.lower()))
    while len(body) < length:
        body += connection.recv(10_000)
    return head + b"\r\n\r\n" + body


def closed(connection: socket.socket) -> bool:
    """Waits until the other side has closed it."""
    try:
        return connection.recv(1000) == b""
    except ConnectionResetError:
        return True
