"""What a person is told of a server that does not do what it is asked."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

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
    """The address of a server that asks for a password."""
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
        _ = Store(workspace).client
    wanted = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    assert refusal.value.reason == f"http://{unwilling} asks for {wanted}"


def test_a_store_that_nobody_asks_is_not_made(workspace: Workspace) -> None:
    with Store(workspace) as store:
        assert not store.exists
    assert list(workspace.root.iterdir()) == []


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_a_closed_store_holds_no_connection_and_can_be_asked_again(workspace: Workspace) -> None:
    def connections() -> int:
        opened = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return opened.count(workspace.tracking_database)

    with Store(workspace) as store:
        store.client.search_registered_models()
        assert connections()
    assert not connections()
    with store:
        assert store.client.search_registered_models() == []
    assert not connections()


def test_a_store_is_the_same_for_all_its_users() -> None:
    """And names of files that others may see are made of its digest: it must not tell a password."""

    def digest(address: str) -> str:
        store = Store.__new__(Store)  # not opened: nobody is there
        store.address = address
        return store.digest

    assert digest("http://me:secret@server:5000") == digest("http://server:5000")
    assert digest("http://server:5000") != digest("http://server:5001")
