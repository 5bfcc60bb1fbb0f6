"""What compiled code writes past Python, and so past every setting of Python's."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


def private_stdout() -> TextIO:
    """Standard output for this file alone; what anything else prints there joins standard error."""
    own = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return own


@contextmanager
def native_stderr_silenced() -> Iterator[None]:
    """Keep what compiled code writes to file descriptor 2 off the terminal; Python's own lines get there."""
    python_stderr = sys.stderr
    python_stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        if _is_descriptor_2(python_stderr):
            sys.stderr = os.fdopen(
                os.dup(kept), "w", encoding=python_stderr.encoding, errors="backslashreplace"
            )
        yield
    finally:
        if sys.stderr is not python_stderr:
            sys.stderr.close()
            sys.stderr = python_stderr
        os.dup2(kept, 2)
        os.close(kept)


def _is_descriptor_2(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 2
    except OSError:  # a test has put something else in its place
        return False
