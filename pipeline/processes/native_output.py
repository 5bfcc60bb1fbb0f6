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
    """Keep what compiled code writes to file descriptor 2 off the terminal."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
