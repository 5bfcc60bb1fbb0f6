"""What the report reads from the earlier stages' files."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.reporting.results import RunResults
from tests.reporting.fake_project import FakeProject, write_fake_project


def test_a_history_knows_its_phases(tmp_path: Path) -> None:
    found = RunResults.load(write_fake_project(tmp_path))
    assert found.candidate("transfer").history.phase_starts() == [(1, "head"), (3, "fine_tune")]
    assert found.candidate("baseline").history.phase_starts() == [(1, "train")]


def test_a_paired_test_can_be_seen_from_either_side(tmp_path: Path) -> None:
    project = FakeProject(wrong={"baseline": range(10), "transfer": range(8, 12), "tuned": range(3)})
    found = RunResults.load(write_fake_project(tmp_path, project))
    there = next(test for test in found.paired_tests if {test.first, test.second} == {"baseline", "transfer"})
    back = there.reversed()
    assert (there.comparison.only_first_right, there.comparison.only_second_right) == (2, 8)
    assert (back.comparison.only_first_right, back.comparison.only_second_right) == (8, 2)
    assert there.comparison.accuracy_difference == pytest.approx(-0.06)
    assert back.comparison.accuracy_difference == pytest.approx(0.06)
    assert back.comparison.interval.low == -there.comparison.interval.high
    assert back.reversed() == there
    assert [test.second for test in found.tests_of_winner] == ["baseline", "tuned"]


@pytest.mark.parametrize(
    "missing",
    [
        "metrics/evaluate.json",
        "metrics/references.json",
        "metrics/comparisons.json",
        "metrics/per_class.csv",
        "metrics/predictions/tuned.npz",
        "metrics/split.json",
        "models/best.json",
        "models/baseline/card.json",
        "models/transfer/history.csv",
        "models/tuned/trials.csv",
        "data/fetched/source.json",
        "data/fetched/catalogue.csv",
        "data/fetched/rejected.csv",
        "data/fetched/ignored.csv",
        "data/arrays/test/images.npy",
        "data/arrays/statistics.json",
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    workspace = write_fake_project(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(PipelineError, match=missing):
        RunResults.load(workspace)


def test_predictions_of_other_images_are_refused(tmp_path: Path) -> None:
    workspace = write_fake_project(tmp_path)
    ids = workspace.subset("test") / "ids.npy"
    np.save(ids, np.load(ids)[::-1])
    with pytest.raises(PipelineError, match="other images"):
        RunResults.load(workspace)
