"""How a process of ours ends when something goes wrong: which failures are explained, and how."""

import errno
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from pipeline.execution.process_setup import EXIT_TERMINATED, Terminated
from pipeline.foundation.errors import EXIT_FAILURE, PipelineError
from pipeline.foundation.files import DISK_FULL, disk_full

_MEMORY_REMEDY = "lower batch_size, preprocess.image_size or the network's widths, or close other programs"
_REMEDIES = {
    errno.EROFS: "\n  to fix:   work in a copy of the project on a disk that can be written",
    errno.EACCES: "\n  to fix:   give yourself access to that place",
    errno.EPERM: "\n  to fix:   give yourself access to that place",
}
_EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_EXIT_NO_READER = 141  # 128 + SIGPIPE


@contextmanager
def failures_explained(name: str, interrupted: str = "stopped") -> Iterator[None]:
    """End the process with one message where a person can fix what went wrong, or has stopped it.

    `name` stands before the message; `interrupted` is what is said after Ctrl-C or SIGTERM. Where nobody
    reads what is printed any more (`... | head -1`), it ends without a word, as other programs do. A
    defect of ours keeps its traceback.
    """
    with _reader_may_leave():
        try:
            yield
        except (KeyboardInterrupt, Terminated) as interruption:
            code = EXIT_TERMINATED if isinstance(interruption, Terminated) else _EXIT_INTERRUPTED
            _end(f"{name}: {interrupted}", code)
        except Exception as error:
            explanation = explained(error)
            if explanation is None:
                raise
            _end(f"{name}: {explanation}", EXIT_FAILURE)


def explained(error: Exception) -> str | None:
    """The message for a failure that a person can fix; None for a defect."""
    if isinstance(error, PipelineError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("pipeline"):
        package = error.name.partition(".")[0]
        return (
            f"The package {package} is not installed for {sys.executable}.\n"
            "  to fix:   install it in the version that requirements.lock has"
        )
    # TensorFlow's own error, known by name: importing it here would cost every stage 9 s. It is one for both.
    exhausted = type(error).__name__ == "ResourceExhaustedError"
    if exhausted and os.strerror(errno.ENOSPC) in str(error):
        return str(disk_full())
    if exhausted or isinstance(error, MemoryError):
        return f"The memory of this machine is not enough.\n  to fix:   {_MEMORY_REMEDY}"
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return str(disk_full(error.filename))
    if isinstance(error, OSError) and error.errno and error.filename:
        return f"{error.filename}: {os.strerror(error.errno)}{_REMEDIES.get(error.errno, '')}"
    return None


@contextmanager
def _reader_may_leave() -> Iterator[None]:
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_has_gone():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the interpreter's last flush
        sys.exit(_EXIT_NO_READER)


def _reader_has_gone() -> bool:
    """Whether standard output is a pipe whose other end was closed; else another pipe or socket broke."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)  # errors are reported without being asked for
    return any(event & select.POLLERR for _, event in output.poll(0))


def _end(message: str, exit_code: int) -> NoReturn:
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    print(message, file=sys.stderr, flush=True)
    sys.exit(exit_code)
