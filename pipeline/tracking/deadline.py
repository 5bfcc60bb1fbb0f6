"""An end to waiting for a server that answers a byte at a time: timeouts of single reads never pass then."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_AGAIN_SECONDS = 1.0  # a library may catch what is raised, and go on
_AT_ONCE = 0.001  # 0 would turn the timer off


class DeadlinePassedError(Exception):
    """What was begun is not done in time."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise DeadlinePassedError in the block when it takes longer; an earlier deadline around it stays.

    Only the main thread of a process gets signals; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    began, armed = time.monotonic(), True

    def passed(number: int, frame: FrameType | None) -> None:
        if armed:
            raise DeadlinePassedError

    handler = signal.signal(signal.SIGALRM, passed)
    before, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_SECONDS)
    if before:
        signal.setitimer(signal.ITIMER_REAL, min(before, seconds), _AGAIN_SECONDS)
    try:
        yield
    finally:
        armed = False
        left = max(before - (time.monotonic() - began), _AT_ONCE) if before else 0.0
        signal.setitimer(signal.ITIMER_REAL, left, interval)
        signal.signal(signal.SIGALRM, handler)
