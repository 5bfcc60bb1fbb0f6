"""Files in a folder, .zip or .tar[.gz|.bz2|.xz], read one by one.

Nothing is ever unpacked: a member's path is only its name, links are not followed, and what claims
to be larger than any image is not read.
"""

import bz2
import gzip
import lzma
import os
import re
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import disk_errors_explained
from pipeline.images.catalogue import UnusedFile
from pipeline.images.decoding import UnreadableImageError
from pipeline.params.fetch import FetchLimits
from pipeline.sources.bounds import require_total
from pipeline.sources.collection import FileCollection, Names
from pipeline.sources.tars import is_tar, tar_members
from pipeline.sources.walking import is_part_of_archive, walk, why
from pipeline.sources.zips import zip_members

_CHUNK_BYTES = 1 << 20
_MAX_EXPANSION = 100
_SMALL_ARCHIVE_BYTES = 1 << 30
"""An archive may grow to this size in any case, and to _MAX_EXPANSION times its own."""

_XZ_MEMORY_BYTES = 200_000_000
"""To expand what xz has compressed; its strongest preset needs 65 MB, a file may ask for 4 GB."""

_ZIP_MAGIC = b"PK"
_UNPACK = "unpack it and name the folder"
_NOT_READ = {
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", _UNPACK),
    b"Rar!": ("a RAR archive", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("an archive compressed with zstd", _UNPACK),
    b"\x04\x22\x4d\x18": ("an archive compressed with lz4", _UNPACK),
    b"LZIP": ("an archive compressed with lzip", _UNPACK),
    b"\x1f\x9d": ("an archive compressed with compress", _UNPACK),
    b"version https://git-lfs": ("a pointer of Git LFS", "run 'git lfs pull', which gets the archive"),
}
_WEB_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml)", re.IGNORECASE)

_DAMAGED = (
    *(EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile),
    *(RuntimeError, ValueError, OverflowError, struct.error),  # of their parsers, at nonsense
)


@contextmanager
def open_files(
    path: Path, temporary: Path, limits: FetchLimits, name_encoding: str | None
) -> Iterator[FileCollection]:
    """Open a folder or archive.

    Args:
      path: must exist.
      temporary: folder in which a compressed tar archive is laid out, to be read in any order.
      limits: how much it may hold.
      name_encoding: of names that are not in UTF-8.

    Raises PipelineError where `path` is not such an archive, damaged, incomplete, or a decompression bomb.
    """
    if path.is_dir():
        yield _folder(path, limits, name_encoding)
        return
    if not path.is_file():
        raise PipelineError(f"{path} is neither a folder nor a file.", expected="a folder or an archive")
    with path.open("rb") as file, ExitStack() as opened:
        start = file.read(tarfile.BLOCKSIZE)
        file.seek(0)
        try:
            members = _members(file, start, path, temporary, limits, name_encoding, opened)
        except _DAMAGED as error:
            _require_whole(path)
            raise PipelineError(
                f"{path} is damaged or incomplete.",
                expected="a whole archive",
                found=" ".join(str(error).split()) or type(error).__name__,
                remedy="copy or download the file again",
            ) from error
        if members is None:
            _require_whole(path)
            raise _not_an_archive(path, start)
        yield members


def _members(
    file: BinaryIO,
    start: bytes,
    path: Path,
    temporary: Path,
    limits: FetchLimits,
    name_encoding: str | None,
    opened: ExitStack,
) -> FileCollection | None:
    """What is in an archive that begins with `start`; None where it is none. Raises one of _DAMAGED."""
    if start.startswith(_ZIP_MAGIC):
        members = zip_members(file, limits, name_encoding)
        _require_expansion(sum(members.sizes.values()), path, limits)
        return members
    for magic, decompressor in _DECOMPRESSORS.items():
        if start.startswith(magic):
            laid_out = _laid_out(decompressor(file), path, temporary, limits)
            return tar_members(opened.enter_context(laid_out), limits, name_encoding)
    return tar_members(file, limits, name_encoding) if is_tar(start) else None


def _require_whole(path: Path) -> None:
    """Raises PipelineError where an archive that cannot be read is a part of one."""
    if is_part_of_archive(path.name) or path.with_suffix(".z01").exists():
        raise PipelineError(
            f"{path} is one part of a split archive.",
            expected="the whole archive in one file, or a folder",
            remedy="unpack it with the program that has split it, and name the folder",
        )


def _not_an_archive(path: Path, start: bytes) -> PipelineError:
    found = f"a file that begins with {start[:8].hex(' ')}" if start else "an empty file"
    remedy = None
    for magic, known in _NOT_READ.items():
        if start.startswith(magic):
            found, remedy = known
    if _WEB_PAGE.match(start):
        found, remedy = (
            "a web page, not the archive",
            "download the archive itself; a browser shows what is asked",
        )
    return PipelineError(
        f"{path} is not an archive that can be read.",
        expected="a folder, .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz",
        found=found,
        remedy=remedy,
    )


def _folder(folder: Path, limits: FetchLimits, name_encoding: str | None) -> FileCollection:
    names = Names(name_encoding)

    def readable(name: str) -> str:
        return names.decoded(os.fsencode(name))

    found = walk(folder, limits, readable)
    files = found.files
    raw_names: dict[str, str] = {}
    for raw in [name for name in files if not name.isascii()]:
        if (name := readable(raw)) in raw_names:
            del files[raw]
            found.rejected.append(UnusedFile(name, "its name is read as that of another file"))
        elif name != raw:
            files[name] = files.pop(raw)
            raw_names[name] = raw
    names.require_known()
    require_total(sum(files.values()), limits)

    def read(name: str) -> bytes:
        try:
            with (folder / raw_names.get(name, name)).open("rb") as file:  # which may have grown since
                return file.read(limits.file_bytes)
        except OSError as error:
            raise UnreadableImageError(why(error)) from error

    return FileCollection(
        files, read, tuple(found.rejected), tuple(found.ignored), tuple(found.empty), tuple(found.closed)
    )


@contextmanager
def _laid_out(chunks: Iterator[bytes], path: Path, folder: Path, limits: FetchLimits) -> Iterator[IO[bytes]]:
    """The content of a compressed file in a nameless temporary file."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        with disk_errors_explained(folder):
            size = 0
            for chunk in chunks:
                size += len(chunk)
                _require_expansion(size, path, limits)
                file.write(chunk)
            file.flush()
            file.seek(0)
        yield file


def _require_expansion(size: int, path: Path, limits: FetchLimits) -> None:
    """Raises PipelineError where an archive expands to more than any archive of images does."""
    limit = min(limits.total_bytes, max(_SMALL_ARCHIVE_BYTES, _MAX_EXPANSION * path.stat().st_size))
    if size > limit:
        raise PipelineError(
            f"{path} expands to more than {limit / 1e9:,.1f} GB and was not read any further.",
            expected=f"at most {_MAX_EXPANSION} times its own size, as image files hardly compress, "
            "and fetch.limits.total_gb",
        )


def _gzip_chunks(file: BinaryIO) -> Iterator[bytes]:
    with gzip.open(file) as expanded:
        while chunk := expanded.read(_CHUNK_BYTES):
            yield chunk


def _bzip2_chunks(file: BinaryIO) -> Iterator[bytes]:
    with bz2.open(file) as expanded:
        while chunk := _bzip2_chunk(expanded):
            yield chunk


def _bzip2_chunk(expanded: IO[bytes]) -> bytes:
    try:
        return expanded.read(_CHUNK_BYTES)
    except OSError as error:
        if error.errno is None:  # bzip2's way to say that the data are damaged
            raise tarfile.ReadError(str(error)) from error
        raise


def _xz_chunks(file: BinaryIO) -> Iterator[bytes]:
    """Of one or more streams, with zeros between them; `lzma.open` takes what memory a file asks for."""
    stream = None
    while data := file.read(_CHUNK_BYTES):
        while data or (stream is not None and not stream.needs_input):
            if stream is None:
                if not (data := data.lstrip(b"\0")):
                    break
                stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)
            try:
                yield stream.decompress(data, _CHUNK_BYTES)
            except lzma.LZMAError as error:
                if "memory" not in str(error).lower():
                    raise
                raise PipelineError(
                    f"{file.name} takes more than {_XZ_MEMORY_BYTES / 1e6:,.0f} MB of memory to expand.",
                    expected="at most the 65 MB of 'xz -9'",
                    remedy="unpack it and name the folder, or compress it again with 'xz -6'",
                ) from error
            data = b""
            if stream.eof:
                data, stream = stream.unused_data, None
    if stream is not None:
        raise EOFError("it ends in the middle")


_DECOMPRESSORS: Mapping[bytes, Callable[[BinaryIO], Iterator[bytes]]] = {
    b"\x1f\x8b": _gzip_chunks,
    b"BZh": _bzip2_chunks,
    b"\xfd7zXZ\x00": _xz_chunks,
}
