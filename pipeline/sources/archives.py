"""Files in a folder, .zip or .tar[.gz|.bz2|.xz], read one by one.

Nothing is ever unpacked: a member's path is only its name, links are not followed, and what claims
to be larger than any image is not read.
"""

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import disk_errors_explained
from pipeline.images.catalogue import RejectedFile
from pipeline.images.decoding import UnreadableImageError
from pipeline.sources.fingerprint import files_below, unicode_name

MAX_FILE_BYTES = 1 << 28
"""A larger file is not an image that this pipeline can use."""

_CHUNK_BYTES = 1 << 20
_MAX_EXPANSION = 100
_SMALL_ARCHIVE_BYTES = 1 << 30
"""An archive may grow to this size in any case, and to _MAX_EXPANSION times its own."""

_ENCRYPTED = 0x1

_DECOMPRESSORS: Mapping[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_ZIP_MAGIC = b"PK"
_TAR_MAGIC = b"ustar"
_TAR_MAGIC_OFFSET = 257

_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile)


@dataclass(frozen=True)
class FileCollection:
    """Named files, wherever they are.

    Attributes:
      names: paths with forward slashes, sorted.
      read: the bytes of a file by its name; from any number of threads; raises UnreadableImageError.
      rejected: files that are never read.
    """

    names: Sequence[str]
    read: Callable[[str], bytes]
    rejected: tuple[RejectedFile, ...]


@contextmanager
def open_files(path: Path, temporary: Path) -> Iterator[FileCollection]:
    """Open a folder or archive.

    Args:
      path: must exist.
      temporary: folder in which a compressed tar archive is laid out, to be read in any order.

    Raises PipelineError where `path` is not such an archive, damaged, incomplete, or a decompression bomb.
    """
    if path.is_dir():
        yield _folder(path)
        return
    with path.open("rb") as file:
        start = file.read(_TAR_MAGIC_OFFSET + len(_TAR_MAGIC))
        file.seek(0)
        try:
            if start.startswith(_ZIP_MAGIC):
                with zipfile.ZipFile(file) as archive:
                    yield _zip(archive)
                return
            for magic, decompressor in _DECOMPRESSORS.items():
                if start.startswith(magic):
                    with _laid_out(decompressor(file), path, temporary) as tar:
                        yield _tar(tar)
                    return
            if start[_TAR_MAGIC_OFFSET:] == _TAR_MAGIC:
                yield _tar(file)
                return
        except _DAMAGED as error:
            raise PipelineError(
                f"{path} is damaged or incomplete.",
                expected="a whole archive",
                found=" ".join(str(error).split()) or type(error).__name__,
                remedy="copy or download the file again",
            ) from error
    raise PipelineError(
        f"{path} is not an archive that can be read.",
        expected="a folder, .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz",
        found=f"a file that begins with {start[:8].hex(' ')}" if start else "an empty file",
    )


def _folder(folder: Path) -> FileCollection:
    paths = {unicode_name(name): folder / name for name in files_below(folder)}

    def read(name: str) -> bytes:
        path = paths[name]
        try:
            _require_size(path.stat().st_size)
            return path.read_bytes()
        except OSError as error:
            raise UnreadableImageError(os.strerror(error.errno or 0)) from error

    return FileCollection(sorted(paths), read, ())


def _zip(archive: zipfile.ZipFile) -> FileCollection:
    members: dict[str, zipfile.ZipInfo] = {}
    rejected = []
    for member in archive.infolist():
        if member.is_dir():
            continue
        # Some Windows programs write backslashes.
        name, reason = _safe_name(member.filename.replace("\\", "/"))
        if stat.S_ISLNK(member.external_attr >> 16):
            reason = "a link, not a file"
        elif member.flag_bits & _ENCRYPTED:
            reason = "encrypted"
        if reason:
            rejected.append(RejectedFile(name, reason))
        else:
            members[name] = member

    def read(name: str) -> bytes:
        _require_size(members[name].file_size)
        try:
            return archive.read(members[name])
        except (*_DAMAGED, OSError, RuntimeError) as error:
            raise UnreadableImageError(f"damaged in the archive: {error}") from error

    return FileCollection(sorted(members), read, tuple(rejected))


def _tar(file: IO[bytes]) -> FileCollection:
    """An uncompressed tar archive; its members are read from their places in `file`."""
    members: dict[str, tuple[int, int]] = {}
    rejected = []
    with tarfile.open(fileobj=file, mode="r:") as archive:
        while (member := archive.next()) is not None:
            # TarFile would remember every member: half a gigabyte for a million images.
            archive.members.clear()  # type: ignore[attr-defined]
            if member.isdir():
                continue
            name, reason = _safe_name(member.name)
            if not member.isreg() or member.issparse():
                reason = "a link or device, not a plain file"
            if reason:
                rejected.append(RejectedFile(name, reason))
            else:
                members[name] = (member.offset_data, member.size)

    def read(name: str) -> bytes:
        offset, size = members[name]
        _require_size(size)
        return os.pread(file.fileno(), size, offset)

    return FileCollection(sorted(members), read, tuple(rejected))


@contextmanager
def _laid_out(compressed: IO[bytes], path: Path, folder: Path) -> Iterator[IO[bytes]]:
    """The content of a compressed file in a nameless temporary file."""
    limit = max(_SMALL_ARCHIVE_BYTES, _MAX_EXPANSION * path.stat().st_size)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        with disk_errors_explained(folder):
            _copy(compressed, file, limit, path)
        yield file


def _copy(compressed: IO[bytes], file: IO[bytes], limit: int, path: Path) -> None:
    size = 0
    while chunk := compressed.read(_CHUNK_BYTES):
        size += len(chunk)
        if size > limit:
            raise PipelineError(
                f"{path} expands to more than {limit / 1e9:,.1f} GB and was not read any further.",
                expected=f"at most {_MAX_EXPANSION} times its own size, as image files hardly compress",
            )
        file.write(chunk)
    file.flush()
    file.seek(0)


def _safe_name(name: str) -> tuple[str, str]:
    """A member's name without a leading slash or `.`, and a reason to refuse it or an empty text."""
    name = unicode_name(name)
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "//")]
    if ".." in parts:
        return name, "its path leads out of the archive"
    return "/".join(parts), ""


def _require_size(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise UnreadableImageError(f"larger than {MAX_FILE_BYTES >> 20} MiB")
