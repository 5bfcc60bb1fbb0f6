"""Folders and archives give the same files; nothing in an archive can reach out of it."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.images.decoding import UnreadableImageError
from pipeline.sources import archives
from pipeline.sources.archives import open_files

FILES = {"b/two.png": b"2" * 700, "a/one.png": b"1" * 10, "a/größe.png": b"", "c.txt": b"text"}


def write_folder(path: Path) -> Path:
    for name, data in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def write_zip(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    return path


def tar_bytes(files: dict[str, bytes] = FILES, tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def write_bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


WRITERS: dict[str, Callable[[Path], Path]] = {
    "folder": lambda path: write_folder(path / "images"),
    "zip": lambda path: write_zip(path / "images.zip"),
    "tar": lambda path: write_bytes(path / "images.tar", tar_bytes()),
    "GNU tar": lambda path: write_bytes(path / "images.tar", tar_bytes(tar_format=tarfile.GNU_FORMAT)),
    "tar.gz": lambda path: write_bytes(path / "images.tar.gz", gzip.compress(tar_bytes())),
    "tar.bz2": lambda path: write_bytes(path / "images.tar.bz2", bz2.compress(tar_bytes())),
    "tar.xz": lambda path: write_bytes(path / "images.tar.xz", lzma.compress(tar_bytes())),
    "an archive under another name": lambda path: write_bytes(
        path / "images.dat", gzip.compress(tar_bytes())
    ),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_kind_gives_the_same_files(tmp_path: Path, kind: str) -> None:
    path = WRITERS[kind](tmp_path)
    with open_files(path, tmp_path / "temporary") as files:
        assert list(files.names) == sorted(FILES)
        assert {name: files.read(name) for name in files.names} == FILES
        assert files.rejected == ()


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_truncated_archive_is_one_clear_error(tmp_path: Path, kind: str) -> None:
    path = WRITERS[kind](tmp_path)
    whole = path.read_bytes()
    # The tar file ends in 10 kB of zeros, which carry nothing.
    path.write_bytes(whole[: 2500 if kind == "tar" else len(whole) - 20])
    with (
        pytest.raises(PipelineError, match="damaged or incomplete"),
        open_files(path, tmp_path / "temporary"),
    ):
        pass


@pytest.mark.parametrize("content", [b"", b"GIF89a and more", bytes(600)])
def test_what_is_not_an_archive_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    path = write_bytes(tmp_path / "images.tar", content)
    with pytest.raises(PipelineError, match="not an archive that can be read"), open_files(path, tmp_path):
        pass


def test_gzip_of_something_else_is_one_clear_error(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "images.tar.gz", gzip.compress(b"a letter to mother" * 100))
    with pytest.raises(PipelineError, match="damaged or incomplete"), open_files(path, tmp_path):
        pass


def test_members_of_a_tar_cannot_reach_out(tmp_path: Path) -> None:
    secret = write_bytes(tmp_path / "secret.png", b"secret")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:

        def add(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, link, len(data)
            archive.addfile(member, io.BytesIO(data))

        add("../../out/evil.png", b"evil")
        add(str(tmp_path / "absolute.png"), b"absolute")
        add("./cat/good.png", b"good")
        add("cat/symbolic.png", kind=tarfile.SYMTYPE, link=str(secret))
        add("cat/hard.png", kind=tarfile.LNKTYPE, link="cat/good.png")
        add("cat/pipe.png", kind=tarfile.FIFOTYPE)
        add("cat", kind=tarfile.DIRTYPE)
    before = sorted(tmp_path.rglob("*"))
    path = write_bytes(tmp_path / "images.tar", buffer.getvalue())
    with open_files(path, tmp_path) as files:
        absolute = str(tmp_path / "absolute.png").lstrip("/")
        assert {name: files.read(name) for name in files.names} == {
            absolute: b"absolute",
            "cat/good.png": b"good",
        }
        assert {item.file: item.reason for item in files.rejected} == {
            "../../out/evil.png": "its path leads out of the archive",
            "cat/symbolic.png": "a link or device, not a plain file",
            "cat/hard.png": "a link or device, not a plain file",
            "cat/pipe.png": "a link or device, not a plain file",
        }
    assert sorted(tmp_path.rglob("*")) == sorted([*before, path])


def test_members_of_a_zip_cannot_reach_out(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("../evil.png", b"evil")
        archive.writestr("/etc/absolute.png", b"absolute")
        archive.writestr("windows\\cat.png", b"cat")
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with open_files(tmp_path / "images.zip", tmp_path) as files:
        assert {name: files.read(name) for name in files.names} == {
            "etc/absolute.png": b"absolute",
            "windows/cat.png": b"cat",
        }
        assert {item.file: item.reason for item in files.rejected} == {
            "../evil.png": "its path leads out of the archive",
            "link.png": "a link, not a file",
        }


def test_an_encrypted_member_is_rejected(tmp_path: Path) -> None:
    data = bytearray(write_zip(tmp_path / "images.zip").read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 0x1  # the flag in the central directory, of the first member
    path = write_bytes(tmp_path / "images.zip", bytes(data))
    with open_files(path, tmp_path) as files:
        assert [(item.file, item.reason) for item in files.rejected] == [("b/two.png", "encrypted")]


def test_a_damaged_member_of_a_zip_is_unreadable_and_the_others_are_not(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("bad.png", b"the original bytes")
        archive.writestr("good.png", b"good")
    data = (tmp_path / "images.zip").read_bytes().replace(b"the original bytes", b"the changed  bytes")
    path = write_bytes(tmp_path / "images.zip", data)
    with open_files(path, tmp_path) as files:
        assert files.read("good.png") == b"good"
        with pytest.raises(UnreadableImageError, match="damaged in the archive"):
            files.read("bad.png")


def test_the_last_of_several_members_of_one_name_counts(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for data in (b"old", b"newer"):
            member = tarfile.TarInfo("cat/x.png")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    with open_files(write_bytes(tmp_path / "images.tar", buffer.getvalue()), tmp_path) as files:
        assert list(files.names) == ["cat/x.png"]
        assert files.read("cat/x.png") == b"newer"  # as if it had been unpacked


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_a_huge_file_is_not_read(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", 699)
    with open_files(WRITERS[kind](tmp_path), tmp_path / "temporary") as files:
        assert files.read("a/one.png") == FILES["a/one.png"]
        with pytest.raises(UnreadableImageError, match="larger than"):
            files.read("b/two.png")


def test_a_decompression_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_SMALL_ARCHIVE_BYTES", 1 << 20)
    path = write_bytes(tmp_path / "bomb.tar.gz", gzip.compress(tar_bytes({"zeros": bytes(30 << 20)})))
    assert path.stat().st_size < 100_000
    with pytest.raises(PipelineError, match="expands to more than"), open_files(path, tmp_path / "temporary"):
        pass
    assert list((tmp_path / "temporary").iterdir()) == []


def test_links_in_a_folder_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    elsewhere = write_bytes(tmp_path / "elsewhere.png", b"elsewhere")
    folder = tmp_path / "images"
    (folder / "cat").mkdir(parents=True)
    (folder / "cat" / "link.png").symlink_to(elsewhere)
    (folder / "cat" / "circle").symlink_to(folder)
    (folder / "cat" / "broken.png").symlink_to(tmp_path / "nowhere")
    with open_files(folder, tmp_path) as files:
        assert {name: files.read(name) for name in files.names} == {"cat/link.png": b"elsewhere"}


def test_a_name_that_is_not_unicode_can_be_written_down(tmp_path: Path) -> None:
    data = tar_bytes({"cat/caf\udce9.png": b"coffee"}, tarfile.GNU_FORMAT)
    with open_files(write_bytes(tmp_path / "images.tar", data), tmp_path) as files:
        assert list(files.names) == ["cat/caf\\udce9.png"]
        assert files.read("cat/caf\\udce9.png") == b"coffee"
