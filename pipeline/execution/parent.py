"""Ends a stage whose DVC has died: nobody would note what it makes, and the next run would meet it."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from pipeline.execution.process_setup import EXIT_TERMINATED, Terminated
from pipeline.processes import starting_process

_POLL_SECONDS = 0.5
_GRACE_SECONDS = 20.0  # a library that computes does not see a signal before it is done
_FIRST_PROCESS = 1  # gets the children of those that died


class StartingProcess:
    """The DVC that has started this process; where DVC has not, one that never dies."""

    def __init__(self) -> None:
        self._process = starting_process.DVC

    @property
    def has_died(self) -> bool:
        if self._process is None:
            return False
        try:
            # In a container DVC may be the first process itself.
            if self._process.pid == _FIRST_PROCESS and "dvc" not in " ".join(self._process.cmdline()):
                return True
            return not self._process.is_running() or self._process.status() == psutil.STATUS_ZOMBIE
        except psutil.Error:
            return True

    def require_alive(self) -> None:
        """Raises Terminated where it has died."""
        if self.has_died:
            raise Terminated

    @contextmanager
    def ends_this_one(self, stage: str) -> Iterator[None]:
        """End this process, as SIGTERM does, when it dies while the block runs."""
        end = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(stage, end), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            end.set()

    def _watch(self, stage: str, end: threading.Event) -> None:
        while not end.wait(_POLL_SECONDS):
            if self.has_died:
                with suppress(OSError):  # the terminal may be gone too
                    print(f"{stage}: DVC has ended, and so does this stage", file=sys.stderr, flush=True)
                os.kill(os.getpid(), signal.SIGTERM)
                if not end.wait(_GRACE_SECONDS):
                    os._exit(EXIT_TERMINATED)
                return
