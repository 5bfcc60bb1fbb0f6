"""The members of a zip archive, read one by one, never more of one than was asked for.

`zipfile` would read the archive's whole directory, however large it claims to be, and keep a kilobyte of each
member; and it cannot read a directory in which some names are not in the encoding that they claim.
"""

import bz2
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from pipeline.images.decoding import UnreadableImageError
from pipeline.params.fetch import FetchLimits
from pipeline.sources.collection import FileCollection, Members, Names, read_at, safe_name

_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_LONGEST_COMMENT = 0xFFFF
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")

_ENCRYPTED, _NAME_IS_UTF8 = 0x1, 0x800
_LARGE_NUMBERS, _UNICODE_PATH = 0x0001, 0x7075
_ELSEWHERE = 0xFFFFFFFF
"""In place of a number that is too large for its place and stands among _LARGE_NUMBERS."""
_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A member, as the archive's directory describes it.

    Attributes:
      is_utf8: whether it claims that its name is.
      attributes: in their upper half those of Unix, if the archive was written there.
      offset: of its header in the archive.
      stored_bytes, size: compressed, and not.
    """

    name: bytes
    is_utf8: bool
    is_encrypted: bool
    attributes: int
    offset: int
    stored_bytes: int
    size: int
    crc: int
    method: int


_PLACE = struct.Struct("<3QLH")
"""Offset to method of an entry: packed, as a million tuples of numbers would take a quarter of a gigabyte."""


def zip_members(file: BinaryIO, limits: FetchLimits, name_encoding: str | None) -> FileCollection:
    """Raises zipfile.BadZipFile or struct.error where the archive is damaged or incomplete.

    Raises PipelineError where there is too much, or names are not in the encoding that they should be in.
    """
    members = Members(limits, Names(name_encoding))
    places: dict[str, bytes] = {}
    for entry in _entries(file):
        # Some Windows programs write backslashes.
        path = members.names.decoded(entry.name, entry.is_utf8).replace("\\", "/")
        if path.endswith("/"):
            members.add_folder(path)
            continue
        name, reason = safe_name(path)
        if stat.S_ISLNK(entry.attributes >> 16):
            reason = "a link, not a file"
        elif entry.is_encrypted:
            reason = "encrypted"
        elif entry.method not in _READABLE:
            reason = f"compressed by a method that is not read ({entry.method})"
        if members.add(name, max(entry.stored_bytes, entry.size), reason):
            places[name] = _PLACE.pack(entry.offset, entry.stored_bytes, entry.size, entry.crc, entry.method)

    def read(name: str) -> bytes:
        offset, stored_bytes, size, crc, method = _PLACE.unpack(places[name])
        data = _expanded(_stored(file.fileno(), offset, stored_bytes), method, size)
        if len(data) != size or zlib.crc32(data) != crc:
            raise UnreadableImageError("damaged in the archive")
        return data

    return members.collected(read)


def _entries(file: BinaryIO) -> Iterator[_Entry]:
    start, end = _directory(file)
    file.seek(start)
    while file.tell() < end:
        fixed = file.read(_ENTRY.size)
        if not fixed.startswith(b"PK\1\2"):
            raise zipfile.BadZipFile("a damaged directory")
        _, _, _, flags, method, _, _, crc, stored, size, *lengths, _, _, attributes, offset = _ENTRY.unpack(
            fixed
        )
        name, extra, _ = (file.read(length) for length in lengths)
        fields = _extra_fields(extra)
        numbers = [size, stored, offset]
        elsewhere = [index for index, number in enumerate(numbers) if number == _ELSEWHERE]
        large = struct.unpack_from(f"<{len(elsewhere)}Q", fields.get(_LARGE_NUMBERS, b""))
        for index, number in zip(elsewhere, large, strict=True):
            numbers[index] = number
        size, stored, offset = numbers
        is_utf8 = bool(flags & _NAME_IS_UTF8)
        # Info-ZIP's second name, in UTF-8; not where another program has changed the first one since.
        version_and_crc = struct.pack("<BL", 1, zlib.crc32(name))
        if (second := fields.get(_UNICODE_PATH, b"")).startswith(version_and_crc):
            name, is_utf8 = second.removeprefix(version_and_crc), True
        yield _Entry(name, is_utf8, bool(flags & _ENCRYPTED), attributes, offset, stored, size, crc, method)


def _extra_fields(extra: bytes) -> Mapping[int, bytes]:
    fields, position = {}, 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        position += 4 + length
        fields[kind] = extra[position - length : position]
    return fields


def _directory(file: BinaryIO) -> tuple[int, int]:
    """Where the directory begins and ends. Raises zipfile.BadZipFile where it does not end the archive."""
    length = file.seek(0, os.SEEK_END)
    tail_at = file.seek(max(0, length - _END.size - _LONGEST_COMMENT))
    tail = file.read()
    at = tail.rfind(b"PK\5\6", 0, len(tail) - _END.size + 4)
    if at < 0:
        raise zipfile.BadZipFile("no directory at its end")
    *_, size, start, _ = _END.unpack_from(tail, at)
    end = tail_at + at
    end_64 = end - _END_64.size - _LOCATOR_64.size
    if end_64 >= 0:
        file.seek(end_64)
        record, locator = file.read(_END_64.size), file.read(_LOCATOR_64.size)
        if record.startswith(b"PK\6\6") and locator.startswith(b"PK\6\7"):
            *_, size, start = _END_64.unpack(record)
            end = end_64
    if start + size != end:  # as in two archives that were joined, of which the first would be lost
        raise zipfile.BadZipFile(
            f"its directory begins at {end - size:,}, not at {start:,}: a part is missing, or is there twice"
        )
    return start, end


def _stored(descriptor: int, offset: int, size: int) -> bytes:
    """The bytes of a member as they lie in the archive; from any thread."""
    header = read_at(descriptor, _LOCAL_HEADER.size, offset)
    if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\3\4":
        raise UnreadableImageError("damaged in the archive")
    *_, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
    return read_at(descriptor, size, offset + _LOCAL_HEADER.size + name_bytes + extra_bytes)


def _expanded(data: bytes, method: int, size: int) -> bytes:
    """At most a byte more than the archive promises: `zipfile` would expand all of a bzip2 member at once."""
    try:
        if method == zipfile.ZIP_DEFLATED:
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, size + 1)
        if method == zipfile.ZIP_BZIP2:
            return bz2.BZ2Decompressor().decompress(data, size + 1)
    except (zlib.error, OSError, EOFError) as error:
        raise UnreadableImageError(f"damaged in the archive: {error}") from error
    return data
