"""A program of ours as a process of its own, for what takes long to import and prints noise.

The process is given a file with its job and writes a file with its result. Its standard output carries
lines for people, and only those; what compiled libraries print goes to standard error, which becomes a log.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pipeline
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import write_json

Say = Callable[[str], None]

_SHOWN_LOG_LINES = 15
_ERROR = "error"


def run_program(module: str, job: Path, result: Path, called: str, say: Say) -> None:
    """Run `python -m <module> <job> <result>` to its end.

    Args:
      module: the program.
      job: a file that it reads; paths in it are absolute.
      result: a file that it writes.
      called: the name of the process in messages.
      say: is told each of its lines.

    Raises:
      PipelineError: it has ended without a result; shows the last lines of its log.
    """
    with tempfile.TemporaryDirectory() as folder:
        log_file = Path(folder) / "log.txt"
        with log_file.open("wb") as log:
            code = _run([sys.executable, "-m", module, str(job), str(result)], log, say)
        if not result.exists():
            lines = log_file.read_text(encoding="utf-8", errors="replace").splitlines()
            raise PipelineError(
                f"The {called} process has ended with exit code {code} and without a result.",
                found="\n".join(["the end of its log:", *lines[-_SHOWN_LOG_LINES:]]),
                remedy="the system has killed it: free some memory" if code == -signal.SIGKILL else None,
            )


def _run(command: Sequence[str], log: BinaryIO, say: Say) -> int:
    """Run a command to its end and pass its lines on; returns its exit code."""
    process = subprocess.Popen(
        command,
        cwd=Path(pipeline.__file__).parent.parent,  # where Python finds the package
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,  # a group of its own, with the processes that it starts
    )
    assert process.stdout is not None
    try:
        with process.stdout:
            for line in process.stdout:
                say(line.rstrip())
        return process.wait()
    finally:
        if process.poll() is None:  # we have been interrupted
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def keep_standard_output() -> None:
    """In the program: keep it for what Python prints; what compiled code prints joins standard error."""
    sys.stdout = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)


def save_error(result: Path, error: PipelineError) -> None:
    """In place of a result: what `raise_saved_error` then raises in the process that reads it."""
    names = ("what", "expected", "found", "remedy")
    write_json(result, {_ERROR: {name: getattr(error, name) for name in names}})


def raise_saved_error(values: dict[str, Any]) -> None:
    """Raise the PipelineError that stands in place of a result, if one does."""
    if _ERROR in values:
        raise PipelineError(**values[_ERROR])
