"""Files that appear whole or not at all.

Everything is written beside its destination and renamed into place, so that a kill or a full disk
never leaves half a file under a real name.
"""

import ctypes
import errno
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.foundation.errors import PipelineError

# Reading the umask sets it for a moment, so it is read once, before there are threads.
_UMASK = os.umask(0)
os.umask(_UMASK)

_AT_CURRENT_FOLDER, _RENAME_EXCHANGE = -100, 2  # of Linux (fcntl.h, linux/fs.h)
_RENAME_SWAP = 2  # of macOS (sys/stdio.h)


DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def disk_full(path: object = None) -> PipelineError:
    """Of a place that could not be written, where it is known."""
    place = f": {path} could not be written" if path else ""
    return PipelineError(
        f"The disk is full{place}.",
        remedy="free some space and run the same command again; nothing was lost",
    )


@contextmanager
def disk_errors_explained(path: Path) -> Iterator[None]:
    """Turn "no space left" and "permission denied" on writing `path` into a PipelineError.

    Another file that the block could not open (a source image, say) is not blamed on `path`.
    """
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise disk_full(path) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and _is_beside(error.filename, path):
            raise PipelineError(
                f"{path} could not be written.",
                found=os.strerror(error.errno),
                remedy="give yourself write access to that place",
            ) from error
        raise


def require_writable(folder: Path) -> None:
    """Raises PipelineError."""
    if not os.access(folder, os.W_OK):
        raise PipelineError(f"{folder} is read-only.", remedy="work in a copy of it, or make it writable")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; renamed to `path` when the block ends well, else deleted."""
    with disk_errors_explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_UMASK)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder`; takes its place when the block ends well, else deleted.

    The two are exchanged in one step. Only where the file system cannot do that, a kill at the wrong moment
    leaves no folder of this name; the next call puts the old one back before anything else.
    """
    with disk_errors_explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _clear_aside(folder)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_UMASK)
            _replace_folder(folder, temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _replace_folder(folder: Path, new: Path) -> None:
    """Put `new` in the place of `folder`; what was there is afterwards `new`, or deleted."""
    if not folder.exists():
        new.replace(folder)
    elif not _exchanged(folder, new):
        folder.replace(_aside(folder))
        try:
            new.replace(folder)
        finally:
            _clear_aside(folder)


def _exchanged(first: Path, second: Path) -> bool:
    """Exchange the names of two folders at once; False where the system or the file system cannot."""
    libc = ctypes.CDLL(None)
    names = os.fsencode(first), os.fsencode(second)
    try:
        if sys.platform == "darwin":
            failed = libc.renamex_np(*names, _RENAME_SWAP)
        else:
            here = _AT_CURRENT_FOLDER
            failed = libc.renameat2(here, names[0], here, names[1], _RENAME_EXCHANGE)
    except AttributeError:  # the C library is older than these functions
        return False
    return not failed


def _aside(folder: Path) -> Path:
    """Where a folder waits while another takes its place in two steps."""
    return folder.with_name(f".{folder.name}.replaced")


def _clear_aside(folder: Path) -> None:
    """Delete a folder that another has replaced; put it back where none has."""
    if _aside(folder).exists():
        if folder.exists():
            shutil.rmtree(_aside(folder))
        else:
            _aside(folder).replace(folder)


def write_bytes(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """In UTF-8, with plain line ends."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Indented JSON with a final newline; NaN and infinity are refused, as JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file that an earlier stage wrote."""
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise PipelineError(
            f"{path} is not valid JSON.",
            found=str(error),
            remedy="delete it and run 'dvc repro', which writes it again",
        ) from error


def read_text(path: Path) -> str:
    """The text of a file that an earlier stage wrote."""
    return require(path).read_text(encoding="utf-8")


def text_if_any(path: Path) -> str:
    """The text of a file, empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def require(path: Path) -> Path:
    """`path` itself, or a PipelineError that says how to make it."""
    if not path.exists():
        raise PipelineError(
            f"{path} is missing.",
            expected="a file that an earlier stage writes",
            remedy="run 'dvc repro', or 'dvc checkout' if it was made before",
        )
    return path


def _is_beside(filename: object, path: Path) -> bool:
    """Whether an OSError's file is `path`, a temporary beside it or a folder above it; None may be."""
    if not isinstance(filename, str | bytes):
        return True
    file, folder = Path(os.fsdecode(filename)).absolute(), path.parent.absolute()
    return folder.is_relative_to(file) or file.is_relative_to(folder)


def path_of(text: str) -> Path:
    """A path as people write it: `~` and `~name` stand for a home where there is one, else for themselves."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 (Path's own fails where there is no home)
