"""Starts `exporting` as a process of its own and reads what it answers. No TensorFlow."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pipeline
from pipeline.deployment.job import ExportJob, ExportResult
from pipeline.foundation.errors import PipelineError

_PROGRAM = "pipeline.deployment.exporting"
_SHOWN_LOG_LINES = 15


def run_job(job: ExportJob, say: Callable[[str], None]) -> ExportResult:
    """Do a job; `say` is told, line by line, how far it is. Paths in the job are absolute.

    Raises PipelineError, that of the process or one that shows the last lines of its log.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job_file, result_file, log_file = folder / "job.json", folder / "result.json", folder / "log.txt"
        job.save(job_file)
        with log_file.open("wb") as log:
            code = _run([sys.executable, "-m", _PROGRAM, str(job_file), str(result_file)], log, say)
        if not result_file.exists():
            lines = log_file.read_text(encoding="utf-8", errors="replace").splitlines()
            raise PipelineError(
                f"The exporting process has ended with exit code {code} and without a result.",
                found="\n".join(["the end of its log:", *lines[-_SHOWN_LOG_LINES:]]),
                remedy="the system has killed it: free some memory" if code == -signal.SIGKILL else None,
            )
        return ExportResult.load(result_file)


def _run(command: list[str], log: BinaryIO, say: Callable[[str], None]) -> int:
    """Run a command to its end and pass its lines on; returns its exit code."""
    process = subprocess.Popen(
        command,
        cwd=Path(pipeline.__file__).parent.parent,  # where Python finds the package
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,  # a group of its own, with the processes that it times formats in
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
