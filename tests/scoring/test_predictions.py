"""Predictions on disk."""

import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.scoring.predictions import load_predictions, require_finite, save_predictions
from tests.scoring.made_predictions import predictions_of, random_predictions


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    saved = {"validation": random_predictions(1), "test": random_predictions(2, images=7)}
    save_predictions(tmp_path / "baseline.npz", saved)
    loaded = load_predictions(tmp_path / "baseline.npz")
    assert list(loaded) == ["validation", "test"]
    for name, subset in saved.items():
        for array in ("probabilities", "labels", "ids"):
            found, expected = getattr(loaded[name], array), getattr(subset, array)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
    assert [file.name for file in tmp_path.iterdir()] == ["baseline.npz"]


def test_members_are_named_as_other_programs_expect(tmp_path: Path) -> None:
    save_predictions(tmp_path / "a.npz", {"test": random_predictions(1)})
    with np.load(tmp_path / "a.npz") as file:
        assert sorted(file.files) == ["test_ids", "test_labels", "test_probabilities"]


def test_bytes_do_not_depend_on_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_predictions(tmp_path / "a.npz", {"test": random_predictions(1)})
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 400 * 86_400)
    save_predictions(tmp_path / "b.npz", {"test": random_predictions(1)})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"absent\.npz is missing"):
        load_predictions(tmp_path / "absent.npz")


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_probabilities_that_are_no_numbers_are_refused(broken: float) -> None:
    probabilities = np.full((4, 2), 0.5, dtype=np.float32)
    assert require_finite(probabilities, "models/tuned") is probabilities
    probabilities[1:3, 0] = broken
    with pytest.raises(PipelineError, match="2 of 4 images") as caught:
        require_finite(probabilities, "models/tuned")
    assert caught.value.what.startswith("models/tuned")


def test_of_equal_probabilities_the_first_class_is_predicted() -> None:
    predictions = predictions_of([[0.4, 0.4, 0.2], [0.2, 0.4, 0.4]], [0, 2])
    assert predictions.predicted.tolist() == [0, 1]
    assert predictions.right.tolist() == [True, False]
