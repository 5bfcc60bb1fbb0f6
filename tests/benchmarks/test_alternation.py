"""Competitors take turns, and one that fails says why."""

import sys
from pathlib import Path

import pytest

from benchmarks.alternation import Competitor, alternate
from pipeline.foundation.errors import PipelineError

PROGRAM = """
import os, sys
from pathlib import Path
from benchmarks.alternation import Rounds
rounds = Rounds()
print("not for the benchmark")
rounds.report(threads=os.environ["OMP_NUM_THREADS"])
while True:
    with Path(sys.argv[1]).open("a") as file:
        file.write(sys.argv[2])
    rounds.report(length=Path(sys.argv[1]).stat().st_size)
"""


def test_rounds_alternate_in_both_orders(tmp_path: Path) -> None:
    log, said = tmp_path / "log", list[str]()
    both = [Competitor(name, (sys.executable, "-c", PROGRAM, str(log), name)) for name in "ab"]

    measured = alternate(both, rounds=2, threads=3, say=said.append)

    assert log.read_text() == "abba"
    assert measured["a"].values("length") == [1, 4]
    assert measured["b"].values("length") == [2, 3]
    assert measured["a"].facts == {"threads": "3"}
    assert said == ["starting a", "starting b", "round 1 of 2", "round 2 of 2"]


def test_what_a_competitor_has_ended_with_is_shown() -> None:
    broken = Competitor("a library that is missing", (sys.executable, "-c", "import no_such_library"))
    with pytest.raises(PipelineError, match="a library that is missing has ended") as caught:
        alternate([broken], rounds=1, threads=1, say=lambda line: None)
    assert "No module named 'no_such_library'" in str(caught.value)


def test_one_that_ends_between_rounds_too() -> None:
    program = "import sys; print('{}', flush=True); input(); sys.exit('out of patience')"
    with pytest.raises(PipelineError, match="out of patience"):
        alternate([Competitor("impatient", (sys.executable, "-c", program))], 1, 1, lambda line: None)
