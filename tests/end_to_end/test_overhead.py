"""The benchmark of what surrounds fitting, on a pipeline that takes seconds."""

import pytest

from benchmarks import overhead
from pipeline.foundation.workspace import CANDIDATES
from tests.end_to_end.clones import Clone

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

FITTING = ("train_baseline", "train_transfer", "tune")


def test_every_stage_is_timed_and_only_trainings_fit(
    pristine: Clone, capsys: pytest.CaptureFixture[str]
) -> None:
    overhead.main(pristine.folder, rounds=1)
    printed = capsys.readouterr().out
    for candidate in CANDIDATES:
        assert f"\n {candidate} " in printed  # the summary after the last stage
    lines = [line.split() for line in printed.partition("start-up, s")[2].splitlines()]
    rows = {line[0]: [float(value) for value in line[1:]] for line in lines if len(line) == 7}
    assert set(rows) >= {"fetch", "split", "preprocess", *FITTING, "evaluate", "report"}
    for stage, (start_up, fitting, work, end, together, share) in rows.items():
        assert start_up > 0
        assert together == pytest.approx(start_up + fitting + work + end, abs=0.3)
        assert (fitting > 0, share > 0) == ((True, True) if stage in FITTING else (False, False))
    for command in ("python -m pipeline repro", "dvc repro", "dvc status", "nothing", "tune"):
        assert command in printed.partition("with nothing changed")[2]
