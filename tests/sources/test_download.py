"""Downloads against a server on this machine that can break off, lie and fail."""

import gzip
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.sources import download
from pipeline.sources.bounds import USUAL
from pipeline.sources.download import RemoteFile, archive_at, content_fingerprint, obtain
from pipeline.sources.sources import Location

CONTENT = bytes(range(256)) * 4000  # 1 MB


@dataclass
class Server:
    """What the server offers, how it misbehaves, and what it was asked for."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    break_off_after: list[int] = field(default_factory=list)  # bytes of the next answers
    failures: list[int] = field(default_factory=list)  # status of the next answers
    asked: list[str | None] = field(default_factory=list)  # Range headers


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.asked.append(asked)
            data = state.files.get(self.path.lstrip("/"))
            if state.failures or data is None:
                self.send_error(state.failures.pop(0) if state.failures else 404)
                return
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and state.ranges else 0
            if start >= len(data):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            end = start + state.break_off_after.pop(0) if state.break_off_after else len(data)
            self.wfile.write(data[start:end])

        def log_message(self, *arguments: object) -> None: ...

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_FIRST_WAIT", 0.001)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)


def remote(server: Server, content: bytes = CONTENT, gzipped: bool = False) -> RemoteFile:
    return RemoteFile(f"{server.address}/data.bin", hashlib.sha256(content).hexdigest(), gzipped)


def part_of(file: RemoteFile, downloads: Path) -> Path:
    return downloads / f"{file.sha256[:16]}-data.bin.part"


def test_a_file_is_downloaded_once(server: Server, tmp_path: Path) -> None:
    server.files["data.bin"] = CONTENT
    for _ in range(2):
        [path] = obtain([remote(server)], Location(), tmp_path)
        assert path.read_bytes() == CONTENT
    assert server.asked == [None]


def test_a_broken_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.files["data.bin"] = CONTENT
    server.break_off_after = [600_000, 100_000]
    [path] = obtain([remote(server)], Location(), tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=600000-", "bytes=700000-"]


def test_the_first_bytes_of_an_earlier_process_are_kept(server: Server, tmp_path: Path) -> None:
    server.files["data.bin"] = CONTENT
    part_of(remote(server), tmp_path).write_bytes(CONTENT[:1000])
    [path] = obtain([remote(server)], Location(), tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-"]


def test_a_server_without_ranges_starts_over(server: Server, tmp_path: Path) -> None:
    server.files["data.bin"] = CONTENT
    server.ranges = False
    server.break_off_after = [600_000]
    [path] = obtain([remote(server)], Location(), tmp_path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("stale", [b"wrong first bytes", CONTENT + b"too long"])
def test_first_bytes_of_another_file_are_thrown_away(server: Server, tmp_path: Path, stale: bytes) -> None:
    server.files["data.bin"] = CONTENT
    part_of(remote(server), tmp_path).write_bytes(stale)
    [path] = obtain([remote(server)], Location(), tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(stale)}-", None]


def test_a_complete_part_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    server.files["data.bin"] = CONTENT
    part_of(remote(server), tmp_path).write_bytes(CONTENT)
    [path] = obtain([remote(server)], Location(), tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [f"bytes={len(CONTENT)}-"]


def test_passing_failures_of_the_server_are_waited_out(server: Server, tmp_path: Path) -> None:
    server.files["data.bin"] = CONTENT
    server.failures = [503, 429, 500]
    [path] = obtain([remote(server)], Location(), tmp_path)
    assert path.read_bytes() == CONTENT


def test_lasting_failures_of_the_server_end_in_one_error(server: Server, tmp_path: Path) -> None:
    server.failures = [503] * 100
    with pytest.raises(PipelineError, match=r"could not be downloaded[\s\S]*503[\s\S]*fetch.location"):
        obtain([remote(server)], Location(), tmp_path)
    assert len(server.asked) == 5


def test_a_missing_file_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="404"):
        obtain([remote(server)], Location(), tmp_path)
    assert len(server.asked) == 1


def test_no_server_is_one_clear_error(server: Server, tmp_path: Path) -> None:
    # Port 1 of this machine: nobody listens there.
    file = RemoteFile("http://127.0.0.1:1/data.bin", "0" * 64)
    with pytest.raises(PipelineError, match=r"could not be downloaded[\s\S]*check the network"):
        obtain([file], Location(), tmp_path)


def test_other_content_is_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    server.files["data.bin"] = CONTENT + b"!"
    with pytest.raises(PipelineError) as error:
        obtain([remote(server)], Location(), tmp_path)
    assert hashlib.sha256(CONTENT).hexdigest() in str(error.value)
    assert hashlib.sha256(CONTENT + b"!").hexdigest() in str(error.value)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_a_kept_file_that_was_damaged_is_downloaded_again(server: Server, tmp_path: Path) -> None:
    server.files["data.bin"] = CONTENT
    [path] = obtain([remote(server)], Location(), tmp_path)
    path.write_bytes(CONTENT[:-1] + b"?")
    [path] = obtain([remote(server)], Location(), tmp_path)
    assert path.read_bytes() == CONTENT


def test_processes_at_once_download_once(server: Server, tmp_path: Path) -> None:
    server.files["data.bin"] = CONTENT
    threads = [
        threading.Thread(target=obtain, args=([remote(server)], Location(), tmp_path)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.asked == [None]


@pytest.mark.parametrize("base", ["/mirror", "/mirror/", "/mirror/data.bin"])
def test_a_mirror_on_the_network(server: Server, tmp_path: Path, base: str) -> None:
    server.files["mirror/data.bin"] = CONTENT
    official = RemoteFile("http://official.invalid/data.bin", hashlib.sha256(CONTENT).hexdigest())
    address = server.address + base
    [path] = obtain([official], Location(address, url=address), tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_recompressed_copy_is_as_good(tmp_path: Path) -> None:
    file = RemoteFile("http://official.invalid/x.gz", hashlib.sha256(CONTENT).hexdigest(), gzipped=True)
    copies = {"best": gzip.compress(CONTENT, 9), "fast": gzip.compress(CONTENT, 1)}
    assert copies["best"] != copies["fast"]
    for name, data in copies.items():
        mirror = tmp_path / name
        mirror.mkdir()
        (mirror / "x.gz").write_bytes(data)
        [path] = obtain([file], Location(name, path=mirror), tmp_path / "downloads")
        assert file.content(path) == CONTENT


def test_an_uncompressed_copy_is_as_good(tmp_path: Path) -> None:
    file = RemoteFile("http://official.invalid/x.gz", hashlib.sha256(CONTENT).hexdigest(), gzipped=True)
    (tmp_path / "x").write_bytes(CONTENT)
    [path] = obtain([file], Location("here", path=tmp_path), tmp_path / "downloads")
    assert file.content(path) == CONTENT


def test_a_truncated_copy_is_refused(tmp_path: Path) -> None:
    file = RemoteFile("http://official.invalid/x.gz", hashlib.sha256(CONTENT).hexdigest(), gzipped=True)
    (tmp_path / "x.gz").write_bytes(gzip.compress(CONTENT)[:-100])
    with pytest.raises(PipelineError, match=r"not the published x\.gz: it is damaged, incomplete or another"):
        obtain([file], Location("here", path=tmp_path), tmp_path / "downloads")


def test_a_local_mirror_may_be_the_file_itself(tmp_path: Path) -> None:
    file = RemoteFile("http://official.invalid/x.tar.gz", hashlib.sha256(CONTENT).hexdigest())
    copy = tmp_path / "my copy"
    copy.write_bytes(CONTENT)
    assert obtain([file], Location("my copy", path=copy), tmp_path) == [copy]
    with pytest.raises(PipelineError, match="consists of several"):
        obtain([file, file], Location("my copy", path=copy), tmp_path)


def test_a_mirror_that_lacks_a_file_says_which(tmp_path: Path) -> None:
    file = RemoteFile("http://official.invalid/x.gz", "0" * 64, gzipped=True)
    with pytest.raises(PipelineError, match=r"lacks a file[\s\S]*x\.gz or x"):
        obtain([file], Location("here", path=tmp_path), tmp_path)


def test_the_fingerprint_of_what_is_downloaded_follows_its_checksums(server: Server) -> None:
    one, other = remote(server), remote(server, b"other")
    assert content_fingerprint([one], Location(), USUAL) == content_fingerprint(
        [one], Location("u", url=server.address), USUAL
    )
    assert content_fingerprint([one], Location(), USUAL) != content_fingerprint([other], Location(), USUAL)


def test_an_archive_of_images_is_downloaded_once(server: Server, tmp_path: Path) -> None:
    server.files["my%20images.zip?raw=1"] = CONTENT
    url = f"{server.address}/my%20images.zip?raw=1"
    server.break_off_after = [600_000]
    paths = {archive_at(url, tmp_path, USUAL) for _ in range(2)}
    [path] = paths
    assert path.read_bytes() == CONTENT
    assert path.name.endswith("-my%20images.zip")
    assert server.asked == [None, "bytes=600000-"]
    assert [each.name for each in tmp_path.glob("*.part")] == []


def test_the_beginning_of_an_unknown_file_is_not_trusted(server: Server, tmp_path: Path) -> None:
    server.files["images.zip"] = CONTENT
    url = f"{server.address}/images.zip"
    path = archive_at(url, tmp_path, USUAL)
    path.rename(path.with_name(path.name + ".part")).write_bytes(b"of yesterday")
    assert archive_at(url, tmp_path, USUAL).read_bytes() == CONTENT
    assert server.asked == [None, None]


def test_a_download_that_is_too_large_is_stopped(server: Server, tmp_path: Path) -> None:
    server.files["images.zip"] = CONTENT
    limits = USUAL.model_copy(update={"total_gb": 0})
    with pytest.raises(PipelineError, match="was not downloaded any further"):
        archive_at(f"{server.address}/images.zip", tmp_path, limits)
