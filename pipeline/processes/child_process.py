"""Programs as processes of their own, for what takes long to import and prints noise.

A program of ours is given a file with its job and writes a file with its result. Its standard output carries
lines for people, and only those; what compiled libraries print goes to standard error, which becomes a log.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import pipeline
from pipeline.foundation.errors import EXIT_FAILURE, PipelineError
from pipeline.foundation.files import read_json, write_json
from pipeline.processes.native_output import private_stdout

PACKAGE_FOLDER = Path(pipeline.__file__).parent.parent
"""Where Python finds the package `pipeline`."""

_SHOWN_LOG_LINES = 15
_ERROR = "error"

Say = Callable[[str], None]


class Saved(Protocol):
    def save(self, path: Path) -> None: ...


SavedJob = TypeVar("SavedJob", bound=Saved)
Result = TypeVar("Result")


def run_job(program: str, called: str, job: Saved, read_result: Callable[[Path], Result], say: Say) -> Result:
    """Have a job done by `python -m <program> JOB.json RESULT.json`, which calls `do_job`.

    Args:
      program: the module.
      called: the name of the process in messages.
      job: paths in it are absolute.
      read_result: reads RESULT.json, an object.
      say: is told each of the program's lines.

    Raises:
      PipelineError: the one that the program has ended with; or it has ended without a result, and the last
        lines of its log are shown.
    """
    with tempfile.TemporaryDirectory() as folder:
        job_file, result_file, log = (Path(folder) / name for name in ("job.json", "result.json", "log.txt"))
        job.save(job_file)
        code = run_command([sys.executable, "-m", program, str(job_file), str(result_file)], log, say)
        if not result_file.exists():
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            raise PipelineError(
                f"The {called} process has ended with exit code {code} and without a result.",
                found="\n".join(["the end of its log:", *lines[-_SHOWN_LOG_LINES:]]),
                remedy="the system has killed it: free some memory" if code == -signal.SIGKILL else None,
            )
        values = read_json(result_file)
        if _ERROR in values:
            raise PipelineError(**values[_ERROR])
        return read_result(result_file)


def run_command(
    command: Sequence[str],
    log: Path,
    say: Say,
    folder: Path = PACKAGE_FOLDER,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run a command to its end, or until we are interrupted; returns its exit code.

    Args:
      command: a program and its arguments.
      log: a file to write its standard error to.
      say: is told each line of its standard output.
      folder: where it runs.
      environment: its variables; ours where None.
    """
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
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


def do_job(read_job: Callable[[Path], SavedJob], do: Callable[[SavedJob, Path], None]) -> int:
    """In the program: do the job of the first argument and write the result to the second.

    Args:
      read_job: reads JOB.json.
      do: does the job and writes its result to the path. A PipelineError is written there in its place.

    Returns:
      The exit code.
    """
    sys.stdout = private_stdout()  # for what Python prints, not for what compiled code does
    job, result = Path(sys.argv[1]), Path(sys.argv[2])
    try:
        do(read_job(job), result)
    except PipelineError as error:
        names = ("what", "expected", "found", "remedy")
        write_json(result, {_ERROR: {name: getattr(error, name) for name in names}})
        return EXIT_FAILURE
    return 0
