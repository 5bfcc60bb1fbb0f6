"""Processes of a test: several at once, and none of them left over."""

import os
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import psutil

from tests.end_to_end.clones import Clone

_LONGEST_SECONDS = 900


@dataclass(frozen=True)
class Ended:
    """What a process has printed, and its exit code."""

    output: str
    code: int


def run_at_once(commands: Sequence[tuple[Clone, Sequence[str]]]) -> list[Ended]:
    """Start all commands, each in its clone, and wait for all of them."""
    with ExitStack() as stack:
        # Not through pipes: one that is full would stop its process while another one is waited for.
        files = [stack.enter_context(TemporaryFile("w+", encoding="utf-8")) for _ in commands]
        processes = [
            subprocess.Popen(
                command, cwd=clone.folder, env=clone.environment, stdout=file, stderr=subprocess.STDOUT
            )
            for (clone, command), file in zip(commands, files, strict=True)
        ]
        codes = [process.wait(_LONGEST_SECONDS) for process in processes]
        for file in files:
            file.seek(0)
        return [Ended(file.read(), code) for file, code in zip(files, codes, strict=True)]


def kill_processes_below(folder: Path) -> None:
    """SIGKILL for all processes that work below a folder, at one moment, as when a machine goes down."""
    found = [process for process in psutil.process_iter() if _works_below(process, folder)]
    # Halted first: the one that delivers to MLflow would else see the stage die and record that.
    for send in (psutil.Process.suspend, psutil.Process.kill):
        for process in found:
            with suppress(psutil.NoSuchProcess):
                send(process)
    psutil.wait_procs(found, timeout=30)


def _works_below(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.pid != os.getpid() and Path(process.cwd()).is_relative_to(folder)
    except psutil.Error:
        return False
