"""SIGKILL at random moments of every stage: of the stage, of the DVC above it, of both.

Eight kills by default; `make kills KILLS=100` does more. It prints what they cost.
"""

import os
import random
import re
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.clones import Clone, copied

KILLS = int(os.environ.get("KILLS", "8"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 + 90 * KILLS)]

STAGES = ("fetch", "split", "preprocess", "train_baseline", "train_transfer", "tune", "evaluate", "report")
LONGEST_DELAYS = {"fetch": 1.5, "split": 1.0, "preprocess": 1.5, "evaluate": 10.0, "report": 8.0}
"""Seconds from the start of a stage to the kill, at most; 15 for trainings, most of which is imports."""

VICTIMS = ("dvc", "stage", "both")


class Reproduction:
    """A `dvc repro`, and what it prints."""

    def __init__(self, clone: Clone) -> None:
        self.dvc = clone.start(sys.executable, "-m", "dvc", "repro")
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.dvc.stdout is not None
        with self.dvc.stdout:
            self.lines.extend(self.dvc.stdout)  # ends when nobody has the pipe any more

    @property
    def running(self) -> str:
        """The stage that has started last."""
        started = [line.partition(":")[0] for line in list(self.lines) if line.endswith(": started\n")]
        return started[-1] if started else ""

    @property
    def epochs(self) -> int:
        """How many were trained."""
        return sum(re.search(r" epoch \d+/\d+: loss", line) is not None for line in list(self.lines))

    def reaches(self, stage: str) -> bool:
        """Wait for a stage to start; False where all has ended before."""
        while self.dvc.poll() is None:
            if self.running == stage:
                return True
            time.sleep(0.02)
        return False

    def kill(self, victim: str) -> None:
        try:
            below = psutil.Process(self.dvc.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            below = []
        # DVC sees that its stage was killed, and ends by itself.
        for process in below if victim != "dvc" else []:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        if victim != "stage":
            self.dvc.send_signal(signal.SIGKILL)
        self.dvc.wait()

    def end(self) -> None:
        assert self.dvc.wait() == 0, "".join(self.lines)[-5000:]
        self._reader.join(30)


def repair_lock(clone: Clone) -> bool:
    """As README says: DVC empties its lock before it writes it, and a kill in between leaves it so."""
    lock = clone.folder / ".dvc" / "tmp" / "rwlock"
    if broken := lock.exists() and lock.stat().st_size == 0:
        lock.unlink()
    return broken


def test_after_any_kills_all_is_as_if_nothing_had_happened(
    pristine: Clone, reproduced: Clone, tmp_path: Path
) -> None:
    clone = copied(pristine, tmp_path)
    drawn = random.Random(0)
    hit: Counter[tuple[str, str]] = Counter()
    epochs, rounds, repaired, began = 0, 1, 0, time.monotonic()
    while hit.total() < KILLS:
        stage, victim = STAGES[hit.total() % len(STAGES)], VICTIMS[hit.total() % len(VICTIMS)]
        repaired += repair_lock(clone)
        run = Reproduction(clone)
        if not run.reaches(stage):  # nothing is left to be done: from the beginning
            run.end()
            epochs += run.epochs
            assert_undisturbed(clone, reproduced)
            clone.run("git", "clean", "--quiet", "--force", "-d", "-x")
            rounds += 1
            continue
        time.sleep(drawn.uniform(0, LONGEST_DELAYS.get(stage, 15.0)))
        if run.dvc.poll() is None:
            hit[run.running, victim] += 1
            run.kill(victim)
        epochs += run.epochs
    repaired += repair_lock(clone)
    last = Reproduction(clone)
    last.end()
    assert_undisturbed(clone, reproduced)
    print(
        f"{hit.total()} kills in {time.monotonic() - began:.0f} s and {rounds} rounds, by stage and victim:"
    )
    print(dict(hit))
    print(f"{epochs + last.epochs} epochs were trained, DVC's lock was empty {repaired} times")
    assert {stage for stage, _ in hit} >= set(STAGES[: max(1, KILLS - 2)]) - {"split"}


def assert_undisturbed(clone: Clone, reproduced: Clone) -> None:
    assert clone.lock() == reproduced.lock()
    assert {path.suffix for path in (clone.folder / ".unfinished").iterdir()} == {".lock"}
    hidden = [path for name in ("data", "models", "metrics") for path in (clone.folder / name).rglob(".*")]
    assert hidden == []
    runs = clone.runs()
    assert {run["status"] for run in runs} == {"FINISHED"}
    # No training twice, and none that is not recorded.
    assert sorted(run["name"] for run in runs) == sorted(run["name"] for run in reproduced.runs())
    assert list((clone.folder / ".resume").glob("*")) == []
