"""Zip archives as programs write them, damaged, and meant to fill the memory."""

import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.sources.archives import open_files
from pipeline.sources.bounds import USUAL
from pipeline.sources.collection import FileCollection

FILES = {"a/1.png": b"one", "b/1.png": b"two" * 100}


def written(path: Path, files: Mapping[str, bytes] = FILES, comment: bytes = b"") -> Path:
    with zipfile.ZipFile(path / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.comment = comment
    return path / "images.zip"


def with_names(
    path: Path, names: Mapping[str, bytes], *, claims_utf_8: bool = False, extra: bytes = b""
) -> Path:
    """Members whose names are these bytes."""
    members, directory = b"", b""
    for content, name in names.items():
        data = content.encode()
        flags = 0x800 * claims_utf_8
        fields = (flags, 0, 0, 0, zlib.crc32(data), len(data), len(data), len(name))
        entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, *fields, len(extra), 0, 0, 0, 0, len(members))
        directory += entry + name + extra
        members += struct.pack("<4s5H3I2H", b"PK\3\4", 20, *fields, 0) + name + data
    count = len(names)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), len(members), 0)
    (path / "images.zip").write_bytes(members + directory + end)
    return path / "images.zip"


def contents(files: FileCollection) -> dict[str, bytes]:
    return {name: files.read(name) for name in files.sizes}


def refused(location: Path, encoding: str | None = None) -> str:
    with pytest.raises(PipelineError) as caught, open_files(location, location.parent, USUAL, encoding):
        pass
    return str(caught.value)


def test_large_archives_have_their_numbers_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    location = written(tmp_path)
    assert b"PK\6\6" in location.read_bytes()
    with open_files(location, tmp_path, USUAL, None) as files:
        assert contents(files) == FILES


def test_a_comment_may_stand_behind_the_directory(tmp_path: Path) -> None:
    with open_files(written(tmp_path, comment=b"x" * 60_000), tmp_path, USUAL, None) as files:
        assert contents(files) == FILES


def test_a_directory_is_not_read_whole(tmp_path: Path) -> None:
    size = 1_500_000_000
    location = tmp_path / "images.zip"
    with location.open("wb") as file:
        file.write(b"PK\3\4")
        file.truncate(4 + size)
        file.seek(0, 2)
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, size, 4, 0))
    tracemalloc.start()
    assert "a damaged directory" in refused(location)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_of_two_archives_that_were_joined_none_is_lost(tmp_path: Path) -> None:
    location = written(tmp_path)
    location.write_bytes(2 * location.read_bytes())
    assert "a part is missing, or is there twice" in refused(location)


def test_what_a_member_takes_is_the_larger_of_its_sizes(tmp_path: Path) -> None:
    location = written(tmp_path)
    with open_files(location, tmp_path, USUAL, None) as files:
        assert files.sizes == {"a/1.png": 5, "b/1.png": 300}  # three bytes grow when they are deflated
    limits = USUAL.model_copy(update={"file_mb": 0})
    with open_files(location, tmp_path, limits, None) as files:
        assert len(files.rejected) == 2


@pytest.mark.parametrize("claims_utf_8", [False, True])
def test_names_are_read_in_the_encoding_that_was_told(tmp_path: Path, claims_utf_8: bool) -> None:
    names = {"one": "犬/1.png".encode("shift_jis"), "two": b"b/2.png"}
    location = with_names(tmp_path, names, claims_utf_8=claims_utf_8)
    message = refused(location)
    assert "Not every name at fetch.location is written in UTF-8" in message
    assert "found:    1 others, of which the first may be" in message
    assert "犬/1.png" in message
    with open_files(location, tmp_path, USUAL, "shift_jis") as files:
        assert contents(files) == {"犬/1.png": b"one", "b/2.png": b"two"}


def test_names_that_say_that_they_are_in_utf_8_are(tmp_path: Path) -> None:
    location = with_names(tmp_path, {"one": "größe/1.png".encode()}, claims_utf_8=True)
    with open_files(location, tmp_path, USUAL, "shift_jis") as files:
        assert list(files.sizes) == ["größe/1.png"]


def test_names_of_what_is_passed_over_do_not_matter(tmp_path: Path) -> None:
    location = with_names(tmp_path, {"one": b"__MACOSX/\xff.png", "two": b"b/2.png"})
    with open_files(location, tmp_path, USUAL, None) as files:
        assert list(files.sizes) == ["b/2.png"]
        assert [each.file for each in files.ignored] == ["__MACOSX/\N{REPLACEMENT CHARACTER}.png"]


@pytest.mark.parametrize(("of", "name"), [("犬", "犬/1.png"), ("猫", "dog/1.png")])
def test_a_second_name_in_utf_8_counts_where_it_is_of_the_first(tmp_path: Path, of: str, name: str) -> None:
    first = {"犬": b"dog/1.png", "猫": b"cat/1.png"}
    second = struct.pack("<BL", 1, zlib.crc32(first[of])) + "犬/1.png".encode()
    extra = struct.pack("<HH", 0x5455, 1) + b"x" + struct.pack("<HH", 0x7075, len(second)) + second
    location = with_names(tmp_path, {"one": b"dog/1.png"}, extra=extra)
    with open_files(location, tmp_path, USUAL, None) as files:
        assert contents(files) == {name: b"one"}


def test_a_very_long_name_is_refused_and_cut(tmp_path: Path) -> None:
    location = written(tmp_path, {"a/" + "x" * 5_000 + ".png": b"", **FILES})
    with open_files(location, tmp_path, USUAL, None) as files:
        assert contents(files) == FILES
        [item] = files.rejected
    assert item.reason == "its name has more than 4,096 bytes"
    assert len(item.file) == 200


def test_folders_without_a_file_are_told(tmp_path: Path) -> None:
    files = {"a/": b"", "a/x/1.png": b"", "c/": b"", "c/empty/": b"", "d\\": b"", ".cache/": b""}
    with open_files(written(tmp_path, files), tmp_path, USUAL, None) as found:
        assert found.empty_folders == ("c/empty/", "d/")
