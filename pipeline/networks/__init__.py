"""Networks as Keras models: from scratch, from a backbone with a new head, and their parts.

Keras is first imported here, whichever module of this floor or of a higher one asks for it.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def _native_stderr_silenced() -> Iterator[None]:
    """Keep what compiled code writes to file descriptor 2 off the terminal.

    TensorFlow 2.21 announces oneDNN there before its logging can be configured; no variable stops it.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


with _native_stderr_silenced():
    import keras  # noqa: F401
