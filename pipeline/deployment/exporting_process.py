"""Starts `exporting` as a process of its own and reads what it answers. No TensorFlow."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from pipeline.deployment.job import ExportJob, ExportResult
from pipeline.processes.child_process import run_program

_PROGRAM = "pipeline.deployment.exporting"


def run_job(job: ExportJob, say: Callable[[str], None]) -> ExportResult:
    """Do a job; `say` is told, line by line, how far it is. Paths in the job are absolute.

    Raises PipelineError, that of the process or one that shows the last lines of its log.
    """
    with tempfile.TemporaryDirectory() as name:
        job_file, result_file = Path(name) / "job.json", Path(name) / "result.json"
        job.save(job_file)
        run_program(_PROGRAM, job_file, result_file, "exporting", say)
        return ExportResult.load(result_file)
