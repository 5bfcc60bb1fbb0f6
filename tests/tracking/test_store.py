"""What a person is told of a server that does not do what it is asked."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from pipeline.foundation.workspace import Workspace
from pipeline.tracking.store import Store, StoreUnavailableError


class Unwilling(BaseHTTPRequestHandler):
    """Answers everybody as MLflow and proxies answer who gives no password."""

    def do_POST(self) -> None:
        self.send_response(401)
        self.end_headers()
        self.wfile.write(b"You are not authenticated.")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def unwilling() -> Iterator[str]:
    """The address of a server that wants a password."""
    with HTTPServer(("127.0.0.1", 0), Unwilling) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_who_is_not_let_in_is_told_what_to_set(
    workspace: Workspace, unwilling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@{unwilling}")
    with pytest.raises(StoreUnavailableError) as refusal:
        Store(workspace)
    wanted = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    assert str(refusal.value) == f"http://{unwilling} asks for {wanted}"


def test_a_store_is_the_same_for_all_its_users() -> None:
    """And names of files that others may see are made of its digest: it must not tell a password."""

    def digest(address: str) -> str:
        store = Store.__new__(Store)  # not opened: nobody is there
        store.address = address
        return store.digest

    assert digest("http://me:secret@server:5000") == digest("http://server:5000")
    assert digest("http://server:5000") != digest("http://server:5001")
