"""The pages as files: nothing inline, nothing from elsewhere; and the sample images."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from pipeline.images.decoding import decode
from pipeline.serving.application import Settings
from pipeline.serving.routes.pages import find_samples, samples_of
from tests.serving.conftest import StartServer
from tests.serving.draw_samples import DIGITS, draw
from tests.serving.live_server import LiveServer

PAGES = ("/", "/model", "/docs")


class Parsed(HTMLParser):
    """Collects what a strict policy would block, and what a page refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.blocked: list[str] = []
        self.references: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        if tag == "style" or (tag == "script" and "src" not in values):
            self.blocked.append(tag)
        self.blocked += [name for name in values if name == "style" or name.startswith("on")]
        self.references += [values[name] or "" for name in ("src", "href") if name in values]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_nothing_inline_and_all_that_it_refers_to_is_there(server: LiveServer, page: str) -> None:
    response = server.get(page)
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    parsed = Parsed(response.text)
    assert parsed.blocked == []
    for reference in parsed.references:
        if not reference.startswith("#"):
            assert reference.startswith("/")
            assert server.get(reference).status_code == 200


def test_scripts_and_styles_are_complete_and_local(server: LiveServer, project: Path) -> None:
    site = project / "pipeline" / "serving" / "site"
    for path in site.iterdir():
        response = server.get(f"/static/{path.name}")
        assert response.status_code == 200
        assert "//" not in re.sub(r"(/\*.*?\*/|http://www.w3.org/2000/svg|//.*)", "", response.text)
        for imported in re.findall(r'from "\./(.*)"', response.text):
            assert (site / imported).is_file()
        if path.suffix == ".js":
            assert response.headers["content-type"].startswith("text/javascript")


def test_pages_are_kept_by_the_browser_and_asked_for_again(server: LiveServer) -> None:
    first = server.get("/static/main.js")
    assert first.headers["Cache-Control"] == "no-cache"
    again = server.get("/static/main.js", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert server.get("/api/model").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    ["/static/../pages.py", "/static/%2e%2e/pages.py", "/samples/..%2fpyproject.toml", "/samples/x.png"],
)
def test_nothing_else_can_be_read(server: LiveServer, path: str) -> None:
    with server.connect() as connection:  # `requests` would tidy the path up
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        assert connection.recv(20).startswith(b"HTTP/1.1 404 ")


def test_the_samples_are_images_that_we_have_drawn(project: Path) -> None:
    folder = project / "samples"
    assert sorted(path.name for path in folder.iterdir()) == [f"digit-{digit}.png" for digit in range(10)]
    for digit, strokes in DIGITS.items():
        data = (folder / f"digit-{digit}.png").read_bytes()
        assert len(data) < 5000
        drawn = io.BytesIO()
        draw(strokes).save(drawn, format="PNG")
        assert decode(data).pixels.tobytes() == Image.open(drawn).tobytes()


def test_samples_are_offered_where_the_model_has_their_class(project: Path, start: StartServer) -> None:
    samples = find_samples(project / "samples")
    assert len(samples_of(tuple("0123456789"), samples)) == 10
    assert samples_of(("3", "dog"), samples) == ["digit-3.png"]
    server = start(samples=project / "samples")
    assert server.get("/api/model").json()["samples"] == []
    assert server.get("/samples/digit-3.png").headers["content-type"] == "image/png"


def test_without_samples_there_are_none(tmp_path: Path) -> None:
    assert find_samples(None) == find_samples(tmp_path / "none") == {}
    assert Settings(folder=tmp_path).samples is None
