"""Competitors measured in turn: each a process of its own that does a round whenever it is asked.

What else the machine does then falls on all of them alike, so that ratios of one round mean something where
times do not. A competitor prints a line of JSON when it is ready (and warm), and another one for every line
that it is given; while it is not asked it waits, and costs nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any

from benchmarks.machine import THREAD_VARIABLES
from pipeline.foundation.errors import PipelineError
from pipeline.processes.native_output import private_stdout


@dataclass(frozen=True)
class Competitor:
    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """Attributes:
    facts: what it has said when it was ready.
    rounds: what it has said after each round.
    """

    facts: dict[str, Any]
    rounds: list[dict[str, Any]] = field(default_factory=list)

    def values(self, name: str) -> list[float]:
        return [float(each[name]) for each in self.rounds]


def alternate(
    competitors: Sequence[Competitor], rounds: int, threads: int, say: Callable[[str], None]
) -> dict[str, Measured]:
    """Start all, then let each do its round, `rounds` times, every other time in the opposite order.

    Raises PipelineError where one ends before it was told to.
    """
    with ExitStack() as stack:
        running = {}
        for competitor in competitors:
            say(f"starting {competitor.name}")
            running[competitor.name] = stack.enter_context(_running(competitor, threads))
        measured = {name: Measured(process.read()) for name, process in running.items()}
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for name in list(running)[:: -1 if number % 2 else 1]:
                measured[name].rounds.append(running[name].ask())
    return measured


@dataclass(frozen=True)
class _Running:
    competitor: Competitor
    process: subprocess.Popen[str]
    log: IO[str]

    def ask(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, as `read` will find and say
            print(file=self.process.stdin, flush=True)
        return self.read()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            last = self.log.read().strip().splitlines()[-1:] or ["no message"]
            raise PipelineError(f"{self.competitor.name} has ended.", found=last[0])
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def _running(competitor: Competitor, threads: int) -> Iterator[_Running]:
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(
            competitor.command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield _Running(competitor, process, log)
        finally:
            process.kill()
            process.communicate()


class Rounds:
    """The other end, in the process of a competitor that is written in this project.

    The first call of `report` says that it is ready; each of them returns when the next round is to begin.
    """

    def __init__(self) -> None:
        self._answers = private_stdout()

    def report(self, **values: Any) -> None:
        print(json.dumps(values), file=self._answers, flush=True)
        if not sys.stdin.readline():
            sys.exit()
