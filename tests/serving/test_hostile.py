"""Uploads that are meant to do harm: each is answered soon, in words, and the server is well afterwards."""

import gzip
import io
import struct
import tempfile
import time
import zlib
from collections.abc import Iterator

import numpy as np
import psutil
import pytest
from PIL import Image, PngImagePlugin

from pipeline.images.decoding import FORMATS
from pipeline.serving.limits import MEGABYTE
from tests.serving.conftest import StartServer
from tests.serving.live_server import LiveServer, encoded, until

ACCEPTED = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF"]
FORM = {"Content-Type": "multipart/form-data; boundary=b"}
PART = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
MANY = 20 * MEGABYTE


@pytest.fixture(scope="module")
def picture() -> dict[str, bytes]:
    """A picture of 64 x 64 random pixels in every format."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    files = {}
    for name in ACCEPTED:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format=name)
        files[name] = buffer.getvalue()
    return files


@pytest.fixture(autouse=True)
def _it_is_well_afterwards(server: LiveServer) -> Iterator[None]:
    pids = {worker.pid for worker in workers_of(server)}
    yield
    assert server.upload(encoded(255)).json()["results"][0]["predicted"] == "bright"
    assert {worker.pid for worker in workers_of(server)} == pids, "a worker had to be replaced"
    assert '"defect"' not in server.log
    assert '"status": 500' not in server.log


def workers_of(server: LiveServer) -> list[psutil.Process]:
    del server  # its workers are children of this process
    return [
        child for child in psutil.Process().children() if "pipeline.serving.workers.worker" in child.cmdline()
    ]


def answer(server: LiveServer, data: bytes) -> tuple[int, str]:
    """Status and reason for one file."""
    response = server.upload(data)
    (row,) = response.json()["results"]
    return response.status_code, row.get("error", "")


@pytest.mark.parametrize("format_name", ACCEPTED)
def test_truncated_anywhere(server: LiveServer, picture: dict[str, bytes], format_name: str) -> None:
    data = picture[format_name]
    ends = [*range(1, 40, 2), *range(40, len(data) - 20, len(data) // 20)]
    responses = [server.upload(data[:end]) for end in ends]
    assert {response.status_code for response in responses} <= {200, 415, 422}
    assert responses[0].status_code == 415
    assert responses[-1].status_code == 422


@pytest.mark.parametrize("format_name", ACCEPTED)
def test_bits_turned_over(server: LiveServer, picture: dict[str, bytes], format_name: str) -> None:
    random = np.random.default_rng(1)
    files = []
    for _ in range(100):
        data = bytearray(picture[format_name])
        for place in random.integers(0, min(len(data), 2000), 5):
            data[place] ^= 1 << int(random.integers(8))
        files.append(bytes(data))
    response = server.upload(*files)
    assert response.status_code in (200, 415, 422)
    assert len(response.json()["results"]) == 100


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("gzip", gzip.compress(b"\0" * MEGABYTE)),
        ("zip", b"PK\x03\x04" + b"\0" * 100),
        ("PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"),
        ("program", b"\x7fELF\x02\x01\x01" + b"\0" * 100),
        ("web page", b"<!doctype html><script>alert(1)</script>"),
        ("SVG", b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
        ("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(r) file run\n"),
        ("PAM", b"P7\nWIDTH 8\nHEIGHT 8\nDEPTH 3\nMAXVAL 255\nENDHDR\n" + b"\0" * 192),
        ("pickle", b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94."),
        ("zeros", b"\0" * MEGABYTE),
        ("text", "Grüße".encode("utf-16")),
    ],
)
def test_files_that_are_not_accepted_images(server: LiveServer, name: str, data: bytes) -> None:
    """Pillow itself would take some of them, and start other programs for PostScript."""
    status, reason = answer(server, data)
    assert status == 415
    expected = "a web page" if name == "web page" else f"none of {', '.join(FORMATS)}"
    assert reason == f"not an image of an accepted format: {expected}"


def test_an_image_that_is_also_something_else(server: LiveServer, picture: dict[str, bytes]) -> None:
    """What is appended to an image or hidden in it changes nothing, and is not looked at."""
    plain = server.upload(picture["PNG"]).json()["results"][0]
    hidden = PngImagePlugin.PngInfo()
    hidden.add_text("Comment", "<script>alert(1)</script><?php system('id') ?>")
    buffer = io.BytesIO()
    Image.open(io.BytesIO(picture["PNG"])).save(buffer, format="PNG", pnginfo=hidden)
    for polyglot in (picture["PNG"] + b"PK\x03\x04<html>", buffer.getvalue()):
        assert server.upload(polyglot).json()["results"][0] == plain


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, width: int = 8, height: int = 8) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def bombs() -> dict[str, bytes]:
    """Files that become much larger than they are, each in another way."""
    zeros = zlib.compress(b"\0" * (100 * MEGABYTE), 9)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * (8 * 25)))
    frames = [Image.new("P", (500, 500), color % 256) for color in range(2000)]
    animated = io.BytesIO()
    frames[0].save(animated, format="GIF", save_all=True, append_images=frames[1:])
    ifd = io.BytesIO()
    Image.new("L", (8, 8)).save(ifd, format="TIFF")
    loop = bytearray(ifd.getvalue())
    (start,) = struct.unpack("<I", loop[4:8])
    (entries,) = struct.unpack("<H", loop[start : start + 2])
    loop[start + 2 + 12 * entries : start + 6 + 12 * entries] = loop[4:8]  # the next directory is this one
    return {
        "100 MB for 64 pixels": png(chunk(b"IDAT", zeros)),
        "100 MB of text": png(chunk(b"zTXt", b"k\0\0" + zeros), pixels),
        "100 MB of international text": png(chunk(b"iTXt", b"k\0\1\0\0\0" + zeros), pixels),
        "100 MB of color profile": png(chunk(b"iCCP", b"k\0\0" + zeros), pixels),
        "100,000 chunks": png(*[chunk(b"tEXt", b"k\0v")] * 100_000, pixels),
        "2000 frames": animated.getvalue(),
        "a directory that goes round in circles": bytes(loop),
        "4 billion pixels": png(pixels, width=65_000, height=65_000),
        "a side of 2 billion pixels": png(pixels, width=2**31 - 1, height=1),
        "no pixels": png(pixels, width=0, height=0),
    }


def test_bombs(server: LiveServer, bombs: dict[str, bytes]) -> None:
    before = max(worker.memory_info().rss for worker in workers_of(server))
    seconds, statuses = {}, {}
    for name, data in bombs.items():
        began = time.monotonic()
        statuses[name] = answer(server, data)[0]
        seconds[name] = time.monotonic() - began
    assert {name for name, status in statuses.items() if status != 422} == {
        "100 MB for 64 pixels",  # which are all that is read
        "2000 frames",  # of which the first is an image like any other
        "a directory that goes round in circles",
        "no pixels",
    }
    assert max(seconds.values()) < 5, seconds
    after = max(worker.memory_info().rss for worker in workers_of(server))
    assert after - before < 100 * MEGABYTE


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            b'--b\r\nContent-Disposition: form-data; name="files"; filename="' + b"a" * MANY, id="name"
        ),
        pytest.param(b"--b\r\nX: " + b"a" * MANY + b"\r\n\r\nx\r\n--b--\r\n", id="a header's value"),
        pytest.param(b"--b\r\n" + b"a" * MANY + b": x\r\n\r\nx\r\n--b--\r\n", id="a header's name"),
        pytest.param(b"--b\r\n" + b"a: b\r\n" * (MANY // 6) + b"\r\nx\r\n--b--\r\n", id="many headers"),
        pytest.param(PART + b"\r\n--" * (MANY // 4) + b"\r\n--b--\r\n", id="beginnings of boundaries"),
        pytest.param(PART + b"x\r\n--b--\r\n" + b"z" * MANY, id="something after the end"),
        pytest.param(b"x\r\n" * (MANY // 3), id="no beginning"),
        pytest.param(b"", id="nothing"),
        pytest.param(PART.replace(b"files", b"\xff\xfe") + b"x\r\n--b--\r\n", id="no Unicode"),
        pytest.param(PART.replace(b'="a"', b"*=utf-16''%ff%d8") + b"x\r\n--b--\r\n", id="encoded name"),
    ],
)
def test_bodies_that_are_not_forms(server: LiveServer, body: bytes) -> None:
    began = time.monotonic()
    response = server.post("/api/predict", data=body, headers=FORM)
    assert response.status_code in (400, 415, 422)
    assert response.json()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("charset", ["undefined", "punycode", "utf-7", "utf-16", "idna", "rot13", "nothing"])
@pytest.mark.parametrize("name", [b"+2AA-", b"\xed\xa0\x80", b"\xff", b"a" * 100 + b".-"])
def test_encodings_that_a_client_asks_for(server: LiveServer, charset: str, name: bytes) -> None:
    body = PART.replace(b'"a"', b'"' + name + b'"') + encoded(255) + b"\r\n--b--\r\n"
    headers = {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
    response = server.post("/api/predict", data=body, headers=headers)
    assert response.status_code == 200
    assert response.json()["results"][0]["file"] == name.decode("ascii" if name.isascii() else "latin-1")


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\n--b", b"\r\n--b\r\n"])
def test_a_form_that_was_cut_off(server: LiveServer, end: bytes) -> None:
    """The files that have arrived are not answered as if they were all."""
    response = server.post("/api/predict", data=PART + encoded(9) + b"\r\n" + PART + b"x" + end, headers=FORM)
    assert (response.status_code, response.json()) == (
        400,
        {"error": "the multipart form is damaged: it ends without its last boundary"},
    )


def test_ten_thousand_files_do_not_get_far(server: LiveServer) -> None:
    began = time.monotonic()
    response = server.post("/api/predict", data=(PART + b"x\r\n") * 10_000 + b"--b--\r\n", headers=FORM)
    assert (response.status_code, response.json()) == (413, {"error": "more than 256 files in one request"})
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * MEGABYTE, id="nested"),
        pytest.param(b'{"instances": ' + b"[" * 900 + b"]" * 900 + b"}", id="nested, but valid"),
        pytest.param(b'{"instances": [1e999]}', id="infinity"),
        pytest.param(b'{"instances": [NaN]}', id="not a number"),
        pytest.param(b'{"instances": [' + b"9" * 100_000 + b"]}", id="a number of 100,000 digits"),
        pytest.param(b'{"instances": [{"b64": {"b64": "x"}}]}', id="base64 of base64"),
        pytest.param(b'{"signature_name": "serve_bytes", "instances": ["\\ud800"]}', id="half a character"),
        pytest.param(
            b'{"signature_name": "serve_bytes", "instances": [{"b64": "\\ud800"}]}', id="such a base64"
        ),
        pytest.param(b'{"instances": {"a": 1}, "instances": []}', id="twice"),
        pytest.param(b"\xff\xfe{\0}\0", id="another encoding"),
        pytest.param(b"\0" * MEGABYTE, id="zeros"),
    ],
)
def test_bodies_that_are_not_json(server: LiveServer, body: bytes) -> None:
    response = server.post("/v1/models/light:predict", data=body)
    assert response.status_code == 400
    assert set(response.json()) == {"error"}
    assert len(response.text) < 1000


@pytest.mark.parametrize(
    "head",
    [
        b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
        b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n",
        b"POST /api/predict HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # somebody speaks TLS
        b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /%00%ff%2e%2e HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ],
)
def test_input_that_is_not_http(server: LiveServer, head: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(head)
        connection.settimeout(3)
        try:
            received = connection.recv(4000)
            status = int(received.split()[1])
        except (TimeoutError, OSError, IndexError):
            return  # it waits for the rest, or has hung up
    assert 400 <= status < 500
    assert b"x-content-type-options: nosniff" in received.lower()
    assert b"content-type: application/json" in received.lower()


def test_nothing_is_written_to_the_disk(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(*arguments: object) -> None:
        raise AssertionError("an upload goes to a temporary file")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", written)
    assert answer(server, b"\0" * (31 * MEGABYTE))[0] == 415


def test_a_client_that_does_not_read_its_answers_is_cut_off(start: StartServer) -> None:
    server = start(receive_seconds=0.5, connections=1)
    with server.connect() as deaf:
        deaf.settimeout(0.2)
        try:
            for _ in range(100_000):
                deaf.sendall(b"GET /static/style.css HTTP/1.1\r\nHost: localhost\r\n\r\n")
        except OSError:  # the server reads no more, as nobody takes what it has to say
            pass
        until(lambda: server.get("/healthz").status_code == 200)


def test_memory_does_not_grow(start: StartServer) -> None:
    """A short version; 100,000 requests were made by hand."""
    server = start(workers=1)
    everybody = [psutil.Process(), *workers_of(server)]

    def megabytes() -> float:
        sizes: list[int] = [process.memory_info().rss for process in everybody]
        return sum(sizes) / MEGABYTE

    def some_requests(count: int) -> None:
        for number in range(count):
            server.upload(encoded(number % 256), b"x" * 100_000, encoded(0, 200, 200)[: number % 400])
            server.post("/v1/models/light:predict", data=b'{"instances": [')
            server.get(f"/nothing/{number}")

    some_requests(100)  # caches fill up
    before = megabytes()
    some_requests(300)
    assert megabytes() - before < 10
