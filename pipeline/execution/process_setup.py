"""What a process of ours sets for itself: threads, silence of its libraries, signals."""

import atexit
import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TextIO

import threadpoolctl

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


EXIT_TERMINATED = 143  # 128 + SIGTERM, as shells have it


class Terminated(BaseException):
    """SIGTERM arrived; as with KeyboardInterrupt, no `except Exception` stops it."""


def limit_threads(count: int) -> None:
    """Give every numerical library `count` threads: another number gives other rounding.

    TensorFlow makes its pools at the first operation and reads the variables only then, so that
    this takes effect after its import. NumPy's BLAS is loaded already and is told directly.
    """
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(count)
    threadpoolctl.threadpool_limits(limits=count)


def quiet_libraries() -> None:
    """Keep the terminal for our own lines: no third-party warnings, no log below ERROR."""
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    warnings.filterwarnings("default", module=r"pipeline(\.|$)")
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Line by line also where stdout is not a terminal, as under DVC; a terminal that knows few characters
        # gets the others as escapes.
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")


def stop_in_good_order() -> None:
    """Let Ctrl-C and SIGTERM unwind the stack, so that files and runs are closed."""
    signal.signal(signal.SIGTERM, _raise_terminated)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # as it is during imports; ignored, it stays so
        signal.signal(signal.SIGINT, signal.default_int_handler)


def end_at_once() -> NoReturn:
    """End the process with exit code 0, without the seconds in which Python takes TensorFlow apart."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM until the block has ended."""
    arrived: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, _: arrived.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for first in arrived[:1]:
            signal.raise_signal(first)


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"warning: {message}", file=sys.stderr, flush=True)
