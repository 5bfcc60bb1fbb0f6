"""The stage split."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import fetch, split
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.tracker import SilentTracker
from pipeline.foundation.workspace import Workspace
from pipeline.params.split import SplitParams
from tests.fetch_params import fetch_params


def write_image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    path.write_bytes(buffer.getvalue())


def run_fetch(workspace: Workspace, location: Path) -> None:
    params = fetch_params(location=str(location), max_rejected=0.0)
    fetch.run(workspace, fetch.Config(fetch=params), SilentTracker())


def run(workspace: Workspace, **changes: Any) -> dict[str, Any]:
    params = {"seed": 0, "test_share": 0.2, "validation_share": 0.25, "train_limit": None, **changes}
    split.run(workspace, split.Config(split=SplitParams(**params)), SilentTracker())
    metrics: dict[str, Any] = json.loads(workspace.split_metrics.read_text(encoding="utf-8"))
    return metrics


def subsets(workspace: Workspace) -> dict[str, str]:
    """The name of every image that is in a subset, and which."""
    with workspace.catalogue.open(encoding="utf-8", newline="") as file:
        names = {row["id"]: row["name"] for row in csv.DictReader(file)}
    with workspace.split.open(encoding="utf-8", newline="") as file:
        return {names[row["id"]]: row["subset"] for row in csv.DictReader(file)}


@pytest.fixture
def unsplit(workspace: Workspace, tmp_path: Path) -> Workspace:
    """20 cats, 10 dogs, and one dog that is called a cat as well."""
    for number in range(20):
        write_image(tmp_path / "x" / "cat" / f"{number:02}.png", number)
    for number in range(10):
        write_image(tmp_path / "x" / "dog" / f"{number:02}.png", 100 + number)
    write_image(tmp_path / "x" / "cat" / "really a dog.png", 100)
    run_fetch(workspace, tmp_path / "x")
    return workspace


def test_a_source_without_subsets(unsplit: Workspace) -> None:
    metrics = run(unsplit)
    found = subsets(unsplit)
    assert len(found) == 31
    assert found["cat/really a dog.png"] == found["dog/00.png"]
    assert metrics["duplicates"] == {
        "groups": 1,
        "images": 2,
        "removed_from_train": 0,
        "removed_from_validation": 0,
    }
    assert metrics["conflicting_labels"] == 1
    assert metrics["train"] + metrics["validation"] + metrics["test"] == 31
    for subset in ("train", "validation", "test"):
        names = [name for name, where in found.items() if where == subset]
        assert metrics[subset] == len(names)
        assert metrics["classes"][subset] == {
            "cat": sum(name.startswith("cat") for name in names),
            "dog": sum(name.startswith("dog") for name in names),
        }
    assert 5 <= metrics["test"] <= 7  # 20 % of 31, and the pair moves together


def test_the_same_params_give_the_same_bytes(unsplit: Workspace) -> None:
    run(unsplit)
    first = unsplit.split.read_bytes(), unsplit.split_metrics.read_bytes()
    run(unsplit, seed=1)
    assert unsplit.split.read_bytes() != first[0]
    run(unsplit)
    assert (unsplit.split.read_bytes(), unsplit.split_metrics.read_bytes()) == first


def test_a_limit(unsplit: Workspace) -> None:
    full = run(unsplit)
    before = subsets(unsplit)
    limited = run(unsplit, train_limit=9)
    after = subsets(unsplit)
    assert limited["train"] == 9
    assert limited["left_out_by_limit"] == full["train"] - 9
    for subset in ("validation", "test"):
        assert limited["classes"][subset] == full["classes"][subset]
    assert after.items() <= before.items()


def test_official_subsets_and_a_leaked_test_image(workspace: Workspace, tmp_path: Path) -> None:
    for number in range(8):
        for name, offset in (("cat", 0), ("dog", 100)):
            write_image(tmp_path / "x" / "train" / name / f"{number}.png", offset + number)
    for name, offset in (("cat", 200), ("dog", 300)):
        write_image(tmp_path / "x" / "test" / name / "1.png", offset)
    write_image(tmp_path / "x" / "train" / "cat" / "leaked.png", 200)
    run_fetch(workspace, tmp_path / "x")
    metrics = run(workspace)
    found = subsets(workspace)
    assert "train/cat/leaked.png" not in found
    assert {name for name, subset in found.items() if subset == "test"} == {
        "test/cat/1.png",
        "test/dog/1.png",
    }
    assert (metrics["train"], metrics["validation"], metrics["test"]) == (12, 4, 2)
    assert metrics["duplicates"] == {
        "groups": 1,
        "images": 2,
        "removed_from_train": 1,
        "removed_from_validation": 0,
    }


def test_a_class_that_is_too_small(workspace: Workspace, tmp_path: Path) -> None:
    for number in range(20):
        write_image(tmp_path / "x" / "cat" / f"{number}.png", number)
    write_image(tmp_path / "x" / "dog" / "1.png", 100)
    run_fetch(workspace, tmp_path / "x")
    with pytest.raises(PipelineError, match="would be without a class"):
        run(workspace)
    assert not workspace.split.exists()
    assert not workspace.split_metrics.exists()


def test_without_fetch(workspace: Workspace) -> None:
    with pytest.raises(PipelineError, match=r"catalogue\.csv is missing[\s\S]*dvc repro"):
        run(workspace)
