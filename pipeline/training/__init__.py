"""Fitting with Keras: batches, optimizers, the epochs that survive a kill, and the trained-model folder.

Keras is first imported here, whichever module of this floor or of a higher one asks for it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.processes.native_output import native_stderr_silenced


@contextmanager
def _not_installed(*names: str) -> Iterator[None]:
    """Let an import in the block find that these packages are missing, unless they are there already."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is Python's own sign for that
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


# TensorFlow 2.21 announces oneDNN there before its logging can be configured; no variable stops it.
# Keras 3.15 imports the two for wrappers and galleries that nobody here uses: a quarter of its start.
with native_stderr_silenced(), _not_installed("sklearn", "matplotlib"):
    import keras  # noqa: F401
