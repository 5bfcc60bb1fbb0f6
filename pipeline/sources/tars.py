"""The members of an uncompressed tar archive, read from their places in the file."""

import os
import re
import tarfile
from collections.abc import Mapping
from typing import IO

from pipeline.params.fetch import FetchLimits
from pipeline.sources.collection import FileCollection, Members, Names, read_at, safe_name

_CHUNK_BYTES = 1 << 20
_LONGEST_HEADER = 1 << 14
"""Bytes of a name or of further values about a member; and of all values about all members together.

`tarfile` reads them whole, and takes time and memory that grow with the square of their size.
"""
_WITH_VALUES = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_WITH_LONG_HEADERS = (*_WITH_VALUES, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_VALUE = re.compile(rb"(\d{1,5}) [^=\n]+=")
_MANY_DIGITS = re.compile(rb"\d{256}")
"""No part of a path is longer; `tarfile` looks for `\\d+` from each of them on."""


class _BoundedHeader(tarfile.TarInfo):
    """A header of which no more is read than members of an archive of images have."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.size < 0 or (self.type in _WITH_LONG_HEADERS and self.size > _LONGEST_HEADER):
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        if self.type in _WITH_VALUES:
            _require_values(self, archive)
        if self.type == tarfile.GNUTYPE_SPARSE:
            return self._without_map(archive)
        member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return member

    def _without_map(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        """The map of a sparse file may be as long as the archive."""
        _, goes_on, _ = self._sparse_structs  # type: ignore[attr-defined]
        while goes_on:
            block = archive.fileobj.read(tarfile.BLOCKSIZE)
            goes_on = len(block) == tarfile.BLOCKSIZE and block[504]
        self.sparse = b""  # not None: it is sparse
        self.offset_data = archive.fileobj.tell()
        archive.offset = self.offset_data + self._block(self.size)  # type: ignore[attr-defined]
        return self

    def _proc_gnusparse_10(
        self, member: tarfile.TarInfo, values: Mapping[str, str], archive: tarfile.TarFile
    ) -> None:
        """The same, of a sparse file whose map stands before its content."""
        member.sparse = b""


def _require_values(header: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
    """Raises tarfile.ReadError where values about a member, `<length> <key>=<value>`, are not well formed."""
    stream = archive.fileobj
    place = stream.tell()
    values = stream.read(header.size).rstrip(b"\0")
    stream.seek(place)
    position = 0
    while position < len(values):
        match = _VALUE.match(values, position)
        end = position + int(match[1]) if match else 0
        if end <= position or values[end - 1 : end] != b"\n":
            raise tarfile.ReadError("a damaged header")
        position = end
    if _MANY_DIGITS.search(values):
        raise tarfile.ReadError("a header with a number of more than 255 digits")
    if header.type == tarfile.XGLTYPE:
        known = sum(len(key) + len(value) for key, value in archive.pax_headers.items())
        if known + len(values) > _LONGEST_HEADER:
            raise tarfile.ReadError(f"headers for all members of more than {_LONGEST_HEADER:,} bytes")


def is_tar(start: bytes) -> bool:
    """Whether a file that begins so is a tar archive, also one of the oldest form, which has no mark."""
    try:
        tarfile.TarInfo.frombuf(start[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def tar_members(file: IO[bytes], limits: FetchLimits, name_encoding: str | None) -> FileCollection:
    """Raises tarfile.TarError where the archive is damaged, or ends before its end.

    Raises PipelineError where there is too much, or names are not in the encoding that they should be in.
    """
    members = Members(limits, Names(name_encoding))
    offsets: dict[str, int] = {}
    with tarfile.open(fileobj=file, mode="r:", tarinfo=_BoundedHeader, encoding="utf-8") as archive:
        while (member := archive.next()) is not None:
            # TarFile would remember every member: half a gigabyte for a million images.
            archive.members.clear()  # type: ignore[attr-defined]
            if member.size < 0:  # tarfile would go back, and never come to an end
                raise tarfile.ReadError(f"a member of {member.size:,} bytes")
            path = _name(member, "path", member.name, members.names)
            if member.isdir():
                members.add_folder(path)
                continue
            name, reason = safe_name(path)
            offset, size = member.offset_data, member.size
            if member.islnk():  # another name of a member that came before
                target, _ = safe_name(_name(member, "linkpath", member.linkname, members.names))
                offset, size = offsets.get(target, 0), members.sizes.get(target, 0)
                reason = reason or (
                    "" if target in offsets else "a link to a file that is not in the archive"
                )
            elif member.issparse():
                reason = "a sparse file"
            elif not member.isreg():
                reason = "a link or device, not a plain file"
            if members.add(name, size, reason):
                offsets[name] = offset
        _require_end(file, archive.offset)

    def read(name: str) -> bytes:
        return read_at(file.fileno(), members.sizes[name], offsets[name])

    return members.collected(read)


def _name(member: tarfile.TarInfo, key: str, name: str, names: Names) -> str:
    """What the archive calls a member, or the target of a link; values about a member are in UTF-8."""
    return names.decoded(name.encode("utf-8", "surrogateescape"), key in member.pax_headers)


def _require_end(file: IO[bytes], offset: int) -> None:
    """An archive ends with empty blocks; `tarfile` takes a damaged header, or a cut, for that."""
    end = os.pread(file.fileno(), _CHUNK_BYTES, offset)
    if len(end) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it ends in the middle")
    while end:
        if end.count(0) < len(end):
            raise tarfile.ReadError("a damaged header, or another archive appended to it")
        offset += len(end)
        end = os.pread(file.fileno(), _CHUNK_BYTES, offset)
