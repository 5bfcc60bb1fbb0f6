"""The exporting process from outside: its lines, its result, and what is said when it breaks."""

import sys
from pathlib import Path

import psutil
import pytest

from pipeline.deployment.exporting_process import run_job
from pipeline.deployment.job import ExportJob
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.params.whole import load_params
from pipeline.processes import child_process


@pytest.fixture
def job(trained_project: Workspace, tmp_path: Path) -> ExportJob:
    params = load_params(trained_project.params)
    return ExportJob(
        model=trained_project.model("baseline"),
        arrays=trained_project.arrays,
        files=tmp_path,
        saved_model=tmp_path,
        formats=("litert_fp32",),
        export=params.export,
        evaluate=params.evaluate,
        seed=0,
        threads=1,
    )


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stands in for the real program, which takes ten seconds to start."""
    file = tmp_path / "program.py"
    run = child_process._run
    monkeypatch.setattr(
        child_process,
        "_run",
        lambda command, log, say: run([sys.executable, str(file), *command[3:]], log, say),
    )
    return file


def test_lines_arrive_and_noise_does_not(job: ExportJob, program: Path) -> None:
    program.write_text(
        "import json, sys\n"
        "print('loading')\n"
        "print('noise', file=sys.stderr)\n"
        "assert json.load(open(sys.argv[1]))['formats'] == ['litert_fp32']\n"
        "json.dump({'scores': {'accuracy': 1.0}, 'formats': {}}, open(sys.argv[2], 'w'))\n"
    )
    lines: list[str] = []
    assert run_job(job, lines.append).scores == {"accuracy": 1.0}
    assert lines == ["loading"]


def test_a_process_that_breaks_shows_the_end_of_its_log(job: ExportJob, program: Path) -> None:
    program.write_text("raise ZeroDivisionError('by nothing')\n")
    with pytest.raises(PipelineError, match="exit code 1 and without a result") as caught:
        run_job(job, lambda line: None)
    assert "ZeroDivisionError: by nothing" in str(caught.value)


def test_a_process_that_was_killed_may_have_lacked_memory(job: ExportJob, program: Path) -> None:
    program.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n")
    with pytest.raises(PipelineError, match="exit code -9") as caught:
        run_job(job, lambda line: None)
    assert "free some memory" in str(caught.value)


def test_an_interruption_ends_the_process_and_what_it_has_started(job: ExportJob, program: Path) -> None:
    program.write_text(
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    started: list[psutil.Process] = []

    def interrupt(line: str) -> None:
        started.append(psutil.Process(int(line)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(job, interrupt)
    assert psutil.wait_procs(started, timeout=10)[1] == []


@pytest.mark.slow
def test_the_real_process(job: ExportJob, tmp_path: Path) -> None:
    lines: list[str] = []
    result = run_job(job, lines.append)
    assert lines[0] == "loading the network"
    assert lines[-1].startswith("litert_fp32: written in")
    assert (tmp_path / "litert_fp32.tflite").stat().st_size == result.formats["litert_fp32"].file.size_bytes
    assert not any("WARNING" in line for line in lines)


@pytest.mark.slow
def test_an_error_of_the_real_process_is_raised_here(job: ExportJob) -> None:
    missing = ExportJob(**{**vars(job), "arrays": job.arrays / "nowhere"})
    with pytest.raises(PipelineError, match=r"labels\.npy is missing|images\.npy is missing"):
        run_job(missing, lambda line: None)
