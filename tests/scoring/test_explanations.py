"""Explanations on disk."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.scoring.explanations import Explanations


@pytest.fixture
def explanations() -> Explanations:
    random = np.random.default_rng(0)
    return Explanations(
        rows=np.array([1, 4, 7]),
        heatmaps=random.random((3, 4, 4), dtype=np.float32),
        heatmap_method="hires_cam",
        heatmap_layer="backbone/block2_add",
        feature_rows=np.array([4, 7]),
        feature_maps={
            "whitening": random.random((2, 8, 8, 3), dtype=np.float32),
            "backbone/block2_add": random.random((2, 4, 4, 2), dtype=np.float32),
        },
        feature_channels={"whitening": np.array([0, 2, 5]), "backbone/block2_add": np.array([1, 3])},
        filters=random.random((2, 2, 3, 24), dtype=np.float32),
        map_rows=np.arange(10),
        pca=random.random((10, 2), dtype=np.float32),
        tsne=random.random((10, 2), dtype=np.float32),
        explained_variance=np.array([0.6, 0.2], dtype=np.float32),
    )


def test_what_is_saved_comes_back(tmp_path: Path, explanations: Explanations) -> None:
    explanations.save(tmp_path / "tuned.npz")
    loaded = Explanations.load(tmp_path / "tuned.npz")
    assert list(loaded.feature_maps) == ["whitening", "backbone/block2_add"]
    for field in dataclasses.fields(Explanations):
        saved, found = getattr(explanations, field.name), getattr(loaded, field.name)
        if isinstance(saved, dict):
            for layer, array in saved.items():
                np.testing.assert_array_equal(found[layer], array, strict=True)
        elif isinstance(saved, str):
            assert found == saved
        else:
            np.testing.assert_array_equal(found, saved, strict=True)


def test_network_without_convolutions_has_neither_filters_nor_feature_maps(
    tmp_path: Path, explanations: Explanations
) -> None:
    dense = dataclasses.replace(
        explanations, filters=None, feature_maps={}, feature_channels={}, heatmap_layer="input"
    )
    dense.save(tmp_path / "baseline.npz")
    loaded = Explanations.load(tmp_path / "baseline.npz")
    assert loaded.filters is None
    assert loaded.feature_maps == loaded.feature_channels == {}


def test_bytes_do_not_depend_on_the_time(
    tmp_path: Path, explanations: Explanations, monkeypatch: pytest.MonkeyPatch
) -> None:
    explanations.save(tmp_path / "a.npz")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 400 * 86_400)
    explanations.save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"absent\.npz is missing"):
        Explanations.load(tmp_path / "absent.npz")
