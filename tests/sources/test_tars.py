"""Tar archives as programs write them, damaged, and meant to take for ever."""

import tarfile
import time
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.sources.archives import open_files
from pipeline.sources.bounds import USUAL

FILES = {"a/1.png": b"one", "b/1.png": b"two"}
END = bytes(1024)


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, **values: str) -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    member.pax_headers = values
    return member.tobuf(tarfile.PAX_FORMAT if values else tarfile.GNU_FORMAT)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % tarfile.BLOCKSIZE)


def members(files: Mapping[str, bytes] = FILES) -> bytes:
    return b"".join(header(name, len(data)) + padded(data) for name, data in files.items())


def values(*records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """Of the member that follows, or of all of them, as they are."""
    data = b"".join(records)
    return header("values", len(data), kind) + padded(data)


def record(key: bytes, value: bytes) -> bytes:
    """<length> <key>=<value>, the length being that of all of it."""
    length = len(key) + len(value) + 3
    length += len(str(length))
    length += len(str(length)) > len(str(length - 1))
    return b"%d %s=%s\n" % (length, key, value)


def with_checksum(data: bytearray) -> bytes:
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


def archive(path: Path, *parts: bytes) -> Path:
    location = path / "images.tar"
    location.write_bytes(b"".join(parts))
    return location


def refused(location: Path, encoding: str | None = None) -> str:
    began = time.monotonic()
    with pytest.raises(PipelineError) as caught, open_files(location, location.parent, USUAL, encoding):
        pass
    assert time.monotonic() - began < 5
    return str(caught.value)


def contents(location: Path, encoding: str | None = None) -> dict[str, bytes]:
    with open_files(location, location.parent, USUAL, encoding) as files:
        return {name: files.read(name) for name in files.sizes}


def rejected(location: Path) -> dict[str, str]:
    with open_files(location, location.parent, USUAL, None) as files:
        return {each.file: each.reason for each in files.rejected}


def test_a_header_that_was_lost_does_not_end_the_archive(tmp_path: Path) -> None:
    first, second = members({"a/1.png": b"one"}), members({"b/1.png": b"two"})
    location = archive(tmp_path, first, bytes(512), second[512:], END)
    assert "a damaged header" in refused(location)


def test_of_two_archives_that_were_joined_none_is_lost(tmp_path: Path) -> None:
    one = members() + bytes(2 << 20)  # more than is looked at at once
    assert "another archive appended" in refused(archive(tmp_path, one, members(), END))


def test_a_header_of_many_digits_takes_no_time(tmp_path: Path) -> None:
    location = archive(tmp_path, values(record(b"x", b"1" * 15_000)), members(), END)
    assert "a number of more than 255 digits" in refused(location)


def test_values_that_overlap_are_not_taken_apart(tmp_path: Path) -> None:
    # Of each, a reader that believes the length would keep all that follows.
    for overlapping in (b"2 " * 8_000 + b"=\n", record(b"x", b"y") + b"0 x=y\n"):
        assert "a damaged header" in refused(archive(tmp_path, values(overlapping), members(), END))


def test_values_end_with_their_line(tmp_path: Path) -> None:
    location = archive(tmp_path, values(record(b"path", b"c/1.png").replace(b"\n", b"x")), members(), END)
    assert "a damaged header" in refused(location)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_long_header_is_not_read(tmp_path: Path, kind: bytes) -> None:
    location = archive(tmp_path, header("x", 1 << 15, kind), bytes(1 << 15), members(), END)
    assert "a header of 32,768 bytes" in refused(location)


def test_headers_for_all_members_are_bounded_together(tmp_path: Path) -> None:
    many = [values(record(b"key%d" % n, b"x" * 10_000), kind=tarfile.XGLTYPE) for n in range(2)]
    assert contents(archive(tmp_path, many[0], members(), END)) == FILES
    assert "headers for all members" in refused(archive(tmp_path, *many, members(), END))


def test_a_size_below_zero_leads_nowhere(tmp_path: Path) -> None:
    long_name = bytearray(header("x", kind=tarfile.GNUTYPE_LONGNAME))
    long_name[124:136] = b"\xff" + (256**11 - 512).to_bytes(11, "big")
    location = archive(tmp_path, members(), with_checksum(long_name), members(), END)
    assert "a header of -512 bytes" in refused(location)
    location = archive(tmp_path, values(record(b"size", b"-1024")), members(), END)
    assert "a member of -1,024 bytes" in refused(location)


def old_sparse(blocks: int) -> bytes:
    """A sparse file as GNU tar writes it by itself, with so many further blocks of its map."""
    first = bytearray(header("a/sparse.png", 512, tarfile.GNUTYPE_SPARSE))
    first[482] = blocks > 0
    further = [bytearray(b"00000000001\0" * 42 + bytes(8)) for _ in range(blocks)]
    for block in further[:-1]:
        block[504] = 1
    return with_checksum(first) + b"".join(map(bytes, further)) + bytes(512)


def new_sparse() -> bytes:
    """As with --format=posix; its map claims more numbers than there are."""
    about = values(record(b"GNU.sparse.major", b"1"), record(b"GNU.sparse.minor", b"0"))
    return about + header("a/sparse.png", 512) + padded(b"999999999\n")


@pytest.mark.parametrize("sparse", [old_sparse(0), old_sparse(3_000), new_sparse()])
def test_a_sparse_file_is_refused_and_its_map_not_read(tmp_path: Path, sparse: bytes) -> None:
    location = archive(tmp_path, sparse, members(), END)
    tracemalloc.start()
    assert rejected(location) == {"a/sparse.png": "a sparse file"}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000  # also while its end is looked at
    assert contents(location) == FILES


def test_a_very_long_name_is_refused_and_cut(tmp_path: Path) -> None:
    long = values(record(b"path", b"a/" + b"x" * 5_000 + b".png"))
    [(name, reason)] = rejected(archive(tmp_path, long, members(), END)).items()
    assert reason == "its name has more than 4,096 bytes"
    assert name.startswith("a/xxx")
    assert len(name) == 200


def legacy(name: str, encoding: str) -> str:
    """What tarfile is given so that it writes a name in this encoding."""
    return name.encode(encoding).decode("utf-8", "surrogateescape")


def test_names_are_read_in_the_encoding_that_was_told(tmp_path: Path) -> None:
    files = {legacy("猫/1.png", "shift_jis"): b"one", legacy("犬/1.png", "shift_jis"): b"two"}
    link = bytearray(header("b/1.png", kind=tarfile.LNKTYPE))
    link[157:257] = "猫/1.png".encode("shift_jis").ljust(100, b"\0")
    location = archive(tmp_path, members(files), with_checksum(link), END)
    message = refused(location)
    assert "2 names" not in message  # the link's target counts as well
    assert "fetch.name_encoding" in message
    assert "猫/1.png" in message
    expected = {"猫/1.png": b"one", "犬/1.png": b"two", "b/1.png": b"one"}
    assert contents(location, "shift_jis") == expected


def test_names_that_say_that_they_are_in_utf_8_are(tmp_path: Path) -> None:
    location = archive(tmp_path, values(record(b"path", "größe/1.png".encode())), members(), END)
    assert contents(location, "shift_jis") == {"größe/1.png": b"one", "b/1.png": b"two"}


def test_folders_without_a_file_are_told(tmp_path: Path) -> None:
    folders = ("./", "a/", "c/", "c/empty/", "d/", ".cache/")
    location = archive(
        tmp_path, *(header(each, kind=tarfile.DIRTYPE) for each in folders), members({"a/x/1.png": b""}), END
    )
    with open_files(location, tmp_path, USUAL, None) as files:
        assert files.empty_folders == ("c/empty/", "d/")
