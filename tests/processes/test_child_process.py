"""Programs as processes of their own: jobs, results, lines, and what is said when one breaks."""

import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import read_json, write_json
from pipeline.processes.child_process import Say, run_command, run_job

Run = Callable[[Say], object]


@dataclass(frozen=True)
class Number:
    value: int

    def save(self, path: Path) -> None:
        write_json(path, self.value)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Run]:
    """Makes a function that has the job 7 done by a program, of which `do(job, result)` is given."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def program(do: str) -> Run:
        (tmp_path / "made_program.py").write_text(
            "import json, os, signal, subprocess, sys, time\n"
            "from pipeline.foundation.errors import PipelineError\n"
            "from pipeline.processes.child_process import do_job\n"
            f"def do(job, result):\n{textwrap.indent(textwrap.dedent(do), '    ')}\n"
            "sys.exit(do_job(lambda file: json.loads(file.read_text()), do))\n",
            encoding="utf-8",
        )
        return lambda say: run_job("made_program", "counting", Number(7), read_json, say)

    return program


def test_a_job_has_a_result_and_says_lines_without_noise(run: Callable[[str], Run]) -> None:
    lines: list[str] = []
    counting = run("""
        print("counting")
        print("noise", file=sys.stderr)
        os.write(1, b"what a compiled library prints")
        result.write_text(json.dumps({"next": job + 1}))
    """)
    assert counting(lines.append) == {"next": 8}
    assert lines == ["counting"]


def test_an_error_comes_back_whole(run: Callable[[str], Run]) -> None:
    counting = run("raise PipelineError('What.', expected='this', found='that', remedy='so')")
    with pytest.raises(PipelineError) as caught:
        counting(print)
    assert str(caught.value) == str(PipelineError("What.", expected="this", found="that", remedy="so"))


def test_a_program_that_breaks_shows_the_end_of_its_log(run: Callable[[str], Run]) -> None:
    counting = run("raise ZeroDivisionError('by nothing')")
    with pytest.raises(PipelineError, match="The counting process has ended with exit code 1") as caught:
        counting(print)
    assert "ZeroDivisionError: by nothing" in str(caught.value)


def test_a_program_that_was_killed_may_have_lacked_memory(run: Callable[[str], Run]) -> None:
    counting = run("os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(PipelineError, match="exit code -9") as caught:
        counting(print)
    assert "free some memory" in str(caught.value)


def test_an_interruption_ends_the_program_and_what_it_has_started(run: Callable[[str], Run]) -> None:
    counting = run("""
        print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid)
        time.sleep(60)
    """)
    started: list[psutil.Process] = []

    def interrupt(line: str) -> None:
        started.append(psutil.Process(int(line)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        counting(interrupt)
    assert psutil.wait_procs(started, timeout=10)[1] == []


def test_a_command_runs_where_it_is_told_to_and_its_log_is_kept(tmp_path: Path) -> None:
    lines: list[str] = []
    program = "import os, sys; print(os.getcwd()); print(os.environ['WORD'], file=sys.stderr); sys.exit(4)"
    log = tmp_path / "log.txt"
    command = [sys.executable, "-c", program]
    assert run_command(command, log, lines.append, tmp_path, {"WORD": "said"}) == 4
    assert lines == [str(tmp_path.resolve())]
    assert log.read_text().split() == ["said"]
