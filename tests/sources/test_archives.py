"""Folders and archives give the same files; nothing in an archive can reach out of it."""

import bz2
import gzip
import io
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.foundation.errors import PipelineError
from pipeline.images.decoding import UnreadableImageError
from pipeline.sources import archives, bounds
from pipeline.sources.archives import open_files
from pipeline.sources.bounds import USUAL
from pipeline.sources.walking import ARCHIVE_WITHIN, NOT_AN_IMAGE
from tests.fetch_params import fetch_params

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
    with open_files(path, tmp_path / "temporary", USUAL, None) as files:
        assert sorted(files.sizes) == sorted(FILES)
        assert {name: files.read(name) for name in sorted(files.sizes)} == FILES
        assert files.rejected == ()


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_truncated_archive_is_one_clear_error(tmp_path: Path, kind: str) -> None:
    path = WRITERS[kind](tmp_path)
    whole = path.read_bytes()
    # The tar file ends in 10 kB of zeros, which carry nothing.
    path.write_bytes(whole[: 2500 if kind == "tar" else len(whole) - 20])
    with (
        pytest.raises(PipelineError, match="damaged or incomplete"),
        open_files(path, tmp_path / "temporary", USUAL, None),
    ):
        pass


@pytest.mark.parametrize("content", [b"", b"GIF89a and more", bytes(600)])
def test_what_is_not_an_archive_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    path = write_bytes(tmp_path / "images.tar", content)
    with (
        pytest.raises(PipelineError, match="not an archive that can be read"),
        open_files(path, tmp_path, USUAL, None),
    ):
        pass


def test_gzip_of_something_else_is_one_clear_error(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "images.tar.gz", gzip.compress(b"a letter to mother" * 100))
    with pytest.raises(PipelineError, match="damaged or incomplete"), open_files(path, tmp_path, USUAL, None):
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
    with open_files(path, tmp_path, USUAL, None) as files:
        absolute = str(tmp_path / "absolute.png").lstrip("/")
        assert {name: files.read(name) for name in sorted(files.sizes)} == {
            absolute: b"absolute",
            "cat/good.png": b"good",
            "cat/hard.png": b"good",
        }
        assert {item.file: item.reason for item in files.rejected} == {
            "../../out/evil.png": "its path leads out of the archive",
            "cat/symbolic.png": "a link or device, not a plain file",
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
    with open_files(tmp_path / "images.zip", tmp_path, USUAL, None) as files:
        assert {name: files.read(name) for name in sorted(files.sizes)} == {
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
    with open_files(path, tmp_path, USUAL, None) as files:
        assert [(item.file, item.reason) for item in files.rejected] == [("b/two.png", "encrypted")]


def test_a_damaged_member_of_a_zip_is_unreadable_and_the_others_are_not(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("bad.png", b"the original bytes")
        archive.writestr("good.png", b"good")
    data = (tmp_path / "images.zip").read_bytes().replace(b"the original bytes", b"the changed  bytes")
    path = write_bytes(tmp_path / "images.zip", data)
    with open_files(path, tmp_path, USUAL, None) as files:
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
    with open_files(write_bytes(tmp_path / "images.tar", buffer.getvalue()), tmp_path, USUAL, None) as files:
        assert sorted(files.sizes) == ["cat/x.png"]
        assert files.read("cat/x.png") == b"newer"  # as if it had been unpacked


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_a_huge_file_is_not_read(tmp_path: Path, kind: str) -> None:
    limits = USUAL.model_copy(update={"file_mb": 1})
    large = {"a/large.png": bytes(10**6 + 1), "a/one.png": b"one"}
    (tmp_path / "large" / "a").mkdir(parents=True)
    for name, content in large.items():
        write_bytes(tmp_path / "large" / name, content)
    shutil.make_archive(str(tmp_path / "large"), "zip", tmp_path / "large")
    shutil.make_archive(str(tmp_path / "large"), "tar", tmp_path / "large")
    path = tmp_path / ("large" if kind == "folder" else f"large.{kind}")
    with open_files(path, tmp_path / "temporary", limits, None) as files:
        assert list(files.sizes) == ["a/one.png"]
        assert [(each.file, each.reason) for each in files.rejected] == [
            ("a/large.png", "larger than 1 MB (fetch.limits.file_mb)")
        ]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
@pytest.mark.parametrize(
    ("limit", "message"),
    [({"files": 2}, "more than 2 files"), ({"total_gb": 0}, "GB without compression")],
)
def test_more_than_the_budget_is_refused(
    tmp_path: Path, kind: str, limit: dict[str, int], message: str
) -> None:
    path = WRITERS[kind](tmp_path)
    limits = USUAL.model_copy(update=limit)
    with pytest.raises(PipelineError, match=message), open_files(path, tmp_path / "other", limits, None):
        pass


def test_a_decompression_bomb_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_SMALL_ARCHIVE_BYTES", 1 << 20)
    path = write_bytes(tmp_path / "bomb.tar.gz", gzip.compress(tar_bytes({"zeros": bytes(30 << 20)})))
    assert path.stat().st_size < 100_000
    with (
        pytest.raises(PipelineError, match="expands to more than"),
        open_files(path, tmp_path / "temporary", USUAL, None),
    ):
        pass
    assert list((tmp_path / "temporary").iterdir()) == []


def test_links_in_a_folder_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    elsewhere = write_bytes(tmp_path / "elsewhere.png", b"elsewhere")
    folder = tmp_path / "images"
    (folder / "cat").mkdir(parents=True)
    (folder / "cat" / "link.png").symlink_to(elsewhere)
    (folder / "cat" / "circle").symlink_to(folder)
    (folder / "cat" / "broken.png").symlink_to(tmp_path / "nowhere")
    with open_files(folder, tmp_path, USUAL, None) as files:
        assert {name: files.read(name) for name in sorted(files.sizes)} == {"cat/link.png": b"elsewhere"}
        assert [(item.file, item.reason) for item in files.rejected] == [
            ("cat/broken.png", "a link to nothing")
        ]
        assert [item.file for item in files.ignored] == ["cat/circle/"]


def legacy(name: str) -> str:
    """What Python makes of a name in Shift-JIS."""
    return os.fsdecode(name.encode("shift_jis"))


def test_names_in_a_folder_are_read_in_the_encoding_that_was_told(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    for name in (legacy("猫/1.png"), legacy("犬/1.png"), "cat/1.png"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(os.fsencode(name))
    (folder / legacy("鳥")).mkdir()
    with (
        pytest.raises(PipelineError, match=r"3 others[\s\S]*fetch.name_encoding"),
        open_files(folder, tmp_path, USUAL, None),
    ):
        pass
    with open_files(folder, tmp_path, USUAL, "shift_jis") as files:
        assert {name: files.read(name) for name in sorted(files.sizes)} == {
            "cat/1.png": b"cat/1.png",
            "犬/1.png": "犬/1.png".encode("shift_jis"),
            "猫/1.png": "猫/1.png".encode("shift_jis"),
        }
        assert files.empty_folders == ("鳥/",)


def test_of_two_files_whose_names_are_read_alike_none_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for raw in (b"\xed\x40.png", b"\xfa\x5c.png"):  # one character that Windows' Japanese has twice
        write_bytes(folder / os.fsdecode(raw), raw)
    with open_files(folder, tmp_path, USUAL, "cp932") as files:
        assert {name: files.read(name) for name in files.sizes} == {"纊.png": b"\xed\x40.png"}
        assert [(each.file, each.reason) for each in files.rejected] == [
            ("纊.png", "its name is read as that of another file")
        ]


@pytest.mark.parametrize("name", ["hex", "base64", "rot13", "utf-16", "cp037", "undefined", "klingon", ""])
def test_not_every_codec_is_an_encoding_of_names(name: str) -> None:
    with pytest.raises(ValidationError, match="is not an encoding of names"):
        fetch_params(name_encoding=name, location="x")
    assert fetch_params(name_encoding="gbk", location="x").name_encoding == "gbk"


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_long_names_are_bounded_together(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "_USUAL_NAMES_BYTES", 100)
    path = WRITERS[kind](tmp_path)
    limits = USUAL.model_copy(update={"files": 4})
    with open_files(path, tmp_path / "other", limits, None) as files:
        assert len(files.sizes) == 4
    monkeypatch.setattr(bounds, "_NAME_BYTES", 50)
    with (
        pytest.raises(PipelineError, match="The names of the files"),
        open_files(path, tmp_path / "other", limits, None),
    ):
        pass


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_what_lies_beside_images_is_ignored_whatever_its_size(tmp_path: Path, kind: str) -> None:
    limits = USUAL.model_copy(update={"file_mb": 1})
    large = bytes(10**6 + 1)
    (tmp_path / "large" / "a").mkdir(parents=True)
    for name in ("a/large.png", "a/model.h5", "train.zip", "train.zip.001", "large"):
        write_bytes(tmp_path / "large" / name, large)
    write_bytes(tmp_path / "large" / "table.csv", b"small")
    shutil.make_archive(str(tmp_path / "made"), "zip", tmp_path / "large")
    shutil.make_archive(str(tmp_path / "made"), "tar", tmp_path / "large")
    path = tmp_path / ("large" if kind == "folder" else f"made.{kind}")
    with open_files(path, tmp_path / "temporary", limits, None) as files:
        assert list(files.sizes) == ["table.csv"]
        assert sorted(each.file for each in files.rejected) == ["a/large.png", "large"]
        assert {each.file: each.reason for each in files.ignored} == {
            "a/model.h5": NOT_AN_IMAGE,
            "train.zip": ARCHIVE_WITHIN,
            "train.zip.001": ARCHIVE_WITHIN,
        }


def test_several_xz_streams_are_one_archive(tmp_path: Path) -> None:
    whole = tar_bytes()
    data = lzma.compress(whole[:700]) + bytes(8) + lzma.compress(whole[700:]) + bytes(4)
    with open_files(write_bytes(tmp_path / "images.tar.xz", data), tmp_path, USUAL, None) as files:
        assert {name: files.read(name) for name in files.sizes} == FILES


def test_xz_does_not_get_the_memory_that_it_asks_for(tmp_path: Path) -> None:
    data = bytearray(lzma.compress(tar_bytes()))
    assert data[14:17] == b"\x21\x01\x16"  # LZMA2, and a dictionary of 8 MB
    data[16] = 40  # one of 4 GB
    data[20:24] = zlib.crc32(data[12:20]).to_bytes(4, "little")
    with (
        pytest.raises(PipelineError, match=r"images.tar.xz takes more than 200 MB of memory"),
        open_files(write_bytes(tmp_path / "images.tar.xz", bytes(data)), tmp_path, USUAL, None),
    ):
        pass


@pytest.mark.parametrize(
    ("start", "found", "remedy"),
    [
        (b"<!doctype html><html>", "a web page", "download the archive itself"),
        (b"\xef\xbb\xbf\r\n <HTML>", "a web page", "download the archive itself"),
        (b"<?xml version='1.0'?><Error>", "a web page", "download the archive itself"),
        (b"LZIP\1\x0c", "compressed with lzip", "unpack it"),
        (b"Rar!", "a RAR archive", "unpack it"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS", "git lfs pull"),
    ],
)
def test_what_else_it_may_be_is_named(tmp_path: Path, start: bytes, found: str, remedy: str) -> None:
    path = write_bytes(tmp_path / "images.zip", start + bytes(600))
    with pytest.raises(PipelineError) as caught, open_files(path, tmp_path, USUAL, None):
        pass
    assert found in str(caught.value.found)
    assert remedy in str(caught.value.remedy)


@pytest.mark.parametrize("name", ["i.tar.lz", "i.tar.br", "i.tar.gz", "photo.part1.png"])
def test_how_a_file_is_compressed_does_not_make_it_a_part(tmp_path: Path, name: str) -> None:
    with (
        pytest.raises(PipelineError, match="not an archive that can be read"),
        open_files(write_bytes(tmp_path / name, b"LZIP"), tmp_path, USUAL, None),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("photos.zip.001", slice(0, 300)),
        ("photos.zip.002", slice(300, None)),
        ("photos.tar.gz.aa", slice(0, 300)),
        ("photos.z01", slice(0, 300)),
        ("photos.zip.part2", slice(300, None)),
    ],
)
def test_a_part_of_a_split_archive_is_named_as_such(tmp_path: Path, name: str, part: slice) -> None:
    path = tmp_path / name
    path.write_bytes(write_zip(tmp_path / "whole").read_bytes()[part])
    with (
        pytest.raises(PipelineError, match="one part of a split archive"),
        open_files(path, tmp_path, USUAL, None),
    ):
        pass


def test_the_last_part_of_a_split_zip_is_called_like_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "photos.zip"
    path.write_bytes(write_zip(tmp_path / "whole").read_bytes()[300:])
    (tmp_path / "photos.z01").touch()
    with (
        pytest.raises(PipelineError, match="one part of a split archive"),
        open_files(path, tmp_path, USUAL, None),
    ):
        pass
