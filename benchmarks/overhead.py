"""What of the pipeline's time is fitting, and what DVC and the start of processes cost.

    python -m benchmarks.overhead

Clones what is committed here into a temporary folder, with a cache and an MLflow store of its own, and runs
`python -m pipeline repro` there, which is what `make repro` does once the packages are installed. Nothing of
the workspace is read or changed. By the lines that are printed, and when they come, a stage has

- start-up: from DVC's "Running stage" to the stage's "started", in which Python imports the stage;
- fitting: from "started" to the end of the last epoch; reading arrays, building networks and looking at
  validation images included, and for tune all of its trials;
- work: the rest until "finished";
- end: from there to DVC's next step: DVC's digests, its cache and dvc.lock.

Then, with nothing changed, `python -m pipeline repro`, `dvc repro`, `dvc status` and `dvc --version` in turn,
and the import of each stage in a new process, also in turn.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.machine import TRAINING, machine_line, versions_line
from pipeline.commands.reproducing.dvc_process import dvc_environment
from pipeline.foundation.declarations import parse_declarations
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.params.whole import load_params

_RUNNING = re.compile(r"^Running stage '(\w+)':")
_STARTED = re.compile(r"^(\w+): started")
_FINISHED = re.compile(r"^(\w+): finished in")
_EPOCH = re.compile(r"^\s+\w+ epoch \d+/\d+: loss")
_NOTHING_CHANGED = {
    "python -m pipeline repro": ("-m", "pipeline", "repro"),
    "dvc repro": ("-m", "dvc", "repro"),
    "dvc status": ("-m", "dvc", "status"),
    "dvc --version": ("-m", "dvc", "--version"),
}

Line = tuple[float, str]
"""Seconds since the command has begun, and what it has printed then."""


@dataclass
class StageTimes:
    """Seconds; see above."""

    start_up: float = 0.0
    fitting: float = 0.0
    work: float = 0.0
    end: float = 0.0

    @property
    def total(self) -> float:
        return self.start_up + self.fitting + self.work + self.end


def stage_times(lines: Iterable[Line], ended: float) -> dict[str, StageTimes]:
    """What the lines of a `dvc repro` say of each stage that it has run.

    `ended` is when the command has; the end of the last stage is where DVC or the command goes on to print.
    """
    found: dict[str, StageTimes] = {}
    stage, since, is_over = "", 0.0, True
    for seconds, text in lines:
        if (match := _RUNNING.match(text)) is not None:
            if not is_over:
                found[stage].end = seconds - since
            stage, since, is_over = match[1], seconds, False
            found[stage] = StageTimes()
        elif is_over:
            continue
        elif _STARTED.match(text):
            found[stage].start_up, since = seconds - since, seconds
        elif _EPOCH.match(text):
            found[stage].fitting, since = found[stage].fitting + seconds - since, seconds
        elif _FINISHED.match(text):
            found[stage].work, since = seconds - since, seconds
        elif text.startswith("Use `dvc push`"):
            found[stage].end, is_over = seconds - since, True
    if not is_over:
        found[stage].end = ended - since
    return found


class ClonedProject:
    """A clone, and what runs in it."""

    def __init__(self, source: Path, scratch: Path) -> None:
        self.workspace = Workspace(root=scratch / "project", home=scratch / "project")
        foreign = ("DVC_", "MLFLOW_")  # a store and settings of somebody's
        own = {name: value for name, value in dvc_environment().items() if not name.startswith(foreign)}
        self._environment = {
            **own,
            "DVC_NO_ANALYTICS": "true",
            "DVC_SITE_CACHE_DIR": str(scratch / "site"),
            "PYTHONUNBUFFERED": "1",  # lines come when they are printed
        }
        command = ["git", "clone", "--quiet", "--no-local", str(source), str(self.workspace.root)]
        subprocess.run(command, check=True)
        # Whatever was reproduced here once is to be made again.
        self.workspace.lock.unlink(missing_ok=True)

    def run(self, arguments: Sequence[str], say: Callable[[str], None]) -> tuple[list[Line], float]:
        """What a command of this Python prints, and its seconds. Raises PipelineError where it fails."""
        lines: list[Line] = []
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.workspace.root,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        with process:
            for text in process.stdout:
                lines.append((time.monotonic() - began, text.rstrip("\n")))
                say(lines[-1][1])
        seconds = time.monotonic() - began
        if process.returncode:
            command = " ".join(arguments)
            raise PipelineError(f"'python {command}' has failed.", found=lines[-1][1] if lines else "")
        return lines, seconds


def timed_in_turn(
    clone: ClonedProject, commands: Mapping[str, Sequence[str]], rounds: int
) -> dict[str, list[float]]:
    """Seconds of every command in every round."""
    found: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, arguments in commands.items():
            found[name].append(clone.run(arguments, lambda line: None)[1])
    return found


def imports(stages: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """Commands that import a stage and end, and one that imports nothing."""
    nothing = {"nothing": ("-c", "import os; os._exit(0)")}
    # Without the seconds in which Python takes TensorFlow apart: a stage does not wait for them either.
    return nothing | {stage: ("-c", f"import os, pipeline.{stage}; os._exit(0)") for stage in stages}


def main(source: Path, rounds: int) -> None:
    console = Console(width=110, highlight=False)
    with tempfile.TemporaryDirectory() as name:
        clone = ClonedProject(source, Path(name))
        threads = load_params(clone.workspace.params).threads
        stages = tuple(parse_declarations(clone.workspace.stages.read_text(encoding="utf-8")))
        lines, seconds = clone.run(("-m", "pipeline", "repro"), print)
        times = stage_times(lines, seconds)
        unchanged = timed_in_turn(clone, _NOTHING_CHANGED, rounds)
        started = timed_in_turn(clone, imports(stages), rounds)
    console.print(stages_table(times, seconds))
    console.print(seconds_table("with nothing changed", unchanged))
    console.print(seconds_table("import of", started))
    console.print(f"{rounds} rounds; {machine_line(threads)}")
    console.print(versions_line((*TRAINING, "dvc", "mlflow")))


def stages_table(times: Mapping[str, StageTimes], seconds: float) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("stage")
    for title in ("start-up, s", "fitting, s", "work, s", "end, s", "all, s", "fitting, %"):
        table.add_column(title, justify="right")

    def add_row(name: str, of: StageTimes, total: float) -> None:
        parts = (of.start_up, of.fitting, of.work, of.end, total)
        table.add_row(name, *(f"{part:.1f}" for part in parts), f"{100 * of.fitting / total:.0f}")

    for name, each in times.items():
        add_row(name, each, each.total)
    table.add_section()
    together = StageTimes(
        *(
            sum(getattr(each, part) for each in times.values())
            for part in ("start_up", "fitting", "work", "end")
        )
    )
    add_row("all stages", together, together.total)
    table.add_row(
        "python -m pipeline repro", *[""] * 4, f"{seconds:.1f}", f"{100 * together.fitting / seconds:.0f}"
    )
    return table


def seconds_table(title: str, measured: Mapping[str, list[float]]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(title)
    for column in ("median, s", "lowest-highest"):
        table.add_column(column, justify="right")
    for name, values in measured.items():
        table.add_row(name, f"{statistics.median(values):.2f}", f"{min(values):.2f}-{max(values):.2f}")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="of the commands with nothing changed")
    arguments = parser.parse_args()
    try:
        main(Workspace.from_environment().root, arguments.rounds)
    except PipelineError as error:
        sys.exit(str(error))
