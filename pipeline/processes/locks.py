"""Locks that one process has at a time; who waits for another is told so."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.foundation.errors import PipelineError

_FOR_EVER = -1.0


def _print(line: str) -> None:
    print(line, flush=True)


@contextmanager
def held(
    file: Path,
    waiting: str,
    say: Callable[[str], None] = _print,
    silent_seconds: float = 0.0,
    longest_seconds: float = _FOR_EVER,
    too_long: str = "",
) -> Iterator[None]:
    """Hold a lock while the block runs.

    Args:
      file: the lock; it stays, as who waits for it may have opened it already.
      waiting: what is said where another process holds it.
      say: is told that.
      silent_seconds: how long nothing is said.
      longest_seconds: how long is waited after that.
      too_long: what is wrong then.

    Raises:
      PipelineError: it was not free in that time.
    """
    lock = FileLock(file)
    try:
        lock.acquire(timeout=silent_seconds)
    except Timeout:
        say(waiting)
        try:
            lock.acquire(timeout=longest_seconds)
        except Timeout:
            raise PipelineError(
                too_long,
                found=f"{file} is locked",
                remedy="wait until it has ended, or end it if it hangs, and run the same command again",
            ) from None
    try:
        yield
    finally:
        lock.release()
