"""The stage preprocess."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import fetch, preprocess, split
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.tracker import SilentTracker
from pipeline.foundation.workspace import SUBSETS, Workspace
from pipeline.images import parallel
from pipeline.images.arrays import ChannelStatistics, ImageArrays
from pipeline.images.catalogue import Catalogue
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.params.preprocess import PreprocessParams
from pipeline.params.split import SplitParams
from tests.fetch_params import fetch_params

PICTURES = 30


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)


@pytest.fixture
def prepared(workspace: Workspace, tmp_path: Path) -> Workspace:
    """30 pictures of 8x8 pixels in two classes, fetched and split; picture n is called n.png."""
    for number in range(PICTURES):
        path = tmp_path / "x" / ("even" if number % 2 == 0 else "odd") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        Image.fromarray(pixels(number)).save(buffer, format="PNG")
        path.write_bytes(buffer.getvalue())
    params = fetch_params(location=str(tmp_path / "x"), max_rejected=0.0)
    fetch.run(workspace, fetch.Config(fetch=params), SilentTracker())
    split_params = SplitParams(seed=0, test_share=0.2, validation_share=0.2, train_limit=None)
    split.run(workspace, split.Config(split=split_params), SilentTracker())
    return workspace


def run(workspace: Workspace, **changes: Any) -> None:
    params = {"image_size": 8, "resize": "pad", "color": "rgb", **changes}
    preprocess.run(workspace, preprocess.Config(preprocess=PreprocessParams(**params)), SilentTracker())


def outs(workspace: Workspace) -> dict[str, bytes]:
    return {
        str(path.relative_to(workspace.arrays)): path.read_bytes()
        for path in sorted(workspace.arrays.rglob("*"))
        if path.is_file()
    }


def test_every_row_is_the_right_picture(prepared: Workspace) -> None:
    run(prepared)
    names = {
        entry.id: Path(entry.name).stem
        for entry in Catalogue.load(prepared.fetched / "catalogue.csv").entries
    }
    seen = []
    for subset in SUBSETS:
        arrays = ImageArrays.load(prepared.arrays / subset)
        assert arrays.ids.tolist() == sorted(arrays.ids.tolist())
        for image, label, image_id in zip(arrays.images, arrays.labels, arrays.ids, strict=True):
            number = int(names[int(image_id)])
            np.testing.assert_array_equal(image, pixels(number))
            assert label == number % 2  # classes: even, odd
            seen.append(number)
    assert sorted(seen) == list(range(PICTURES))


def test_statistics_come_from_the_training_subset_alone(prepared: Workspace) -> None:
    run(prepared)
    train = ImageArrays.load(prepared.arrays / "train").images.reshape(-1, 3).astype(np.float64)
    statistics = ChannelStatistics.load(prepared.arrays / "statistics.json")
    np.testing.assert_allclose(statistics.mean, train.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(statistics.std, train.std(axis=0), rtol=1e-14)


def test_the_spec_that_everything_else_uses(prepared: Workspace) -> None:
    run(prepared, image_size=12, resize="crop", color="grayscale")
    assert json.loads((prepared.arrays / "preprocessing.json").read_text()) == {
        "image_size": 12,
        "resize": "crop",
        "color": "grayscale",
        "classes": ["even", "odd"],
    }
    arrays = ImageArrays.load(prepared.arrays / "test")
    assert arrays.images.shape[1:] == (12, 12, 1)
    entry = Catalogue.load(prepared.fetched / "catalogue.csv").entries[int(arrays.ids[0])]
    encoded = (prepared.fetched / "images.tar").read_bytes()[entry.offset : entry.offset + entry.size]
    spec = PreprocessingSpec.load(prepared.arrays / "preprocessing.json")
    np.testing.assert_array_equal(spec.apply(encoded), arrays.images[0])


def test_neither_a_second_run_nor_the_number_of_cores_shows(
    prepared: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(prepared)
    first = outs(prepared)
    assert sorted(first) == sorted(
        [f"{subset}/{name}.npy" for subset in SUBSETS for name in ("images", "labels", "ids")]
        + ["preprocessing.json", "statistics.json"]
    )
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)
    run(prepared)
    assert outs(prepared) == first


def test_without_split(workspace: Workspace) -> None:
    with pytest.raises(PipelineError, match="dvc repro"):
        run(workspace)
