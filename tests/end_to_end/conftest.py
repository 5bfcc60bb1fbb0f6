"""A small data set of shapes, params with which the whole pipeline takes seconds, and clones to run it in."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from tests.end_to_end.clones import Clone, copied, environment

CLASSES = ("cross", "disk", "square")
IMAGES_PER_CLASS = 40

SMALL: dict[str, Any] = {
    "threads": 1,
    "batch_size": 16,
    "lr": 0.05,
    "fetch.dataset": "folder",
    "preprocess.image_size": 24,
    "train_baseline.widths": [8, 8, 8],
    "train_baseline.epochs": 6,
    "train_transfer.head_units": [8],
    "train_transfer.head_epochs": 1,
    "train_transfer.head_views": 1,
    "train_transfer.fine_tune_epochs": 1,
    "tune.max_trials": 2,
    "tune.trial_epochs": 2,
    "tune.epochs": 2,
    "tune.confirm_seeds": 1,
    "tune.space.batch_size": {"values": [16]},
    "evaluate.bootstrap_samples": 100,
    "evaluate.top_k": 2,
    "report.examples_per_class": 2,
    "report.mistakes": 4,
}


def draw_shape(name: str, random: np.random.Generator) -> Image.Image:
    """A bright shape of random place and size on a dark, noisy ground; 24 to 32 pixels a side."""
    height, width = random.integers(24, 33, size=2)
    row, column = np.mgrid[:height, :width]
    radius = random.uniform(5, 8)
    center_row, center_column = random.uniform(10, height - 10), random.uniform(10, width - 10)
    from_row, from_column = np.abs(row - center_row), np.abs(column - center_column)
    shape = {
        "cross": (np.minimum(from_row, from_column) < 2) & (np.maximum(from_row, from_column) < radius),
        "disk": np.hypot(from_row, from_column) < radius,
        "square": np.maximum(from_row, from_column) < radius,
    }[name]
    gray = np.where(shape, 200, 40) + random.normal(0, 10, size=shape.shape)
    return Image.fromarray(gray.clip(0, 255).astype(np.uint8)).convert("RGB")


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`<class>/<number>.png` of three shapes, the same ones at every run."""
    folder = tmp_path_factory.mktemp("shapes")
    random = np.random.default_rng(0)
    for name in CLASSES:
        (folder / name).mkdir()
        for number in range(IMAGES_PER_CLASS):
            draw_shape(name, random).save(folder / name / f"{number:03d}.png")
    return folder


@pytest.fixture(scope="session")
def small_params(project: Path, image_folder: Path) -> dict[str, Any]:
    """The values of params.yaml, for the shapes and with as little work as there can be."""
    values: dict[str, Any] = YAML(typ="safe").load((project / "params.yaml").read_text(encoding="utf-8"))
    for key, value in {**SMALL, "fetch.location": str(image_folder)}.items():
        *sections, name = key.split(".")
        section = values
        for part in sections:
            section = section[part]
        assert name in section, f"{key} is not in params.yaml"
        section[name] = value
    return values


@pytest.fixture(scope="session")
def pristine(project: Path, small_params: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The project's files as git would commit them now, with small params and nothing run yet."""
    folder = tmp_path_factory.mktemp("pristine")
    clone = Clone(folder, environment(tmp_path_factory.mktemp("home")))
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source = project / name
        # A file that git knows may be deleted; results of the workspace are not to be found here.
        if source.is_file() and not name.startswith("metrics/") and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(small_params, file)
    clone.run("git", "init", "--quiet", "--initial-branch=main")
    clone.run("git", "add", "--all")
    clone.run("git", "commit", "--quiet", "--message", "The pipeline, with small params")
    return clone


@pytest.fixture(scope="session")
def reproduced(pristine: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which `dvc repro` has run once, undisturbed, and is committed. Not to be changed."""
    clone = copied(pristine, tmp_path_factory.mktemp("reproduced"))
    clone.dvc("repro")
    clone.run("git", "add", "--all")
    clone.run("git", "commit", "--quiet", "--message", "First results")
    return clone


@pytest.fixture
def clone(reproduced: Clone, tmp_path: Path) -> Iterator[Clone]:
    """A copy of the reproduced clone that a test may change."""
    copy = copied(reproduced, tmp_path)
    yield copy
    shutil.rmtree(copy.folder, ignore_errors=True)
