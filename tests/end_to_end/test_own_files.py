"""What people put beside the outputs of the stages stays there, whatever DVC and the pipeline do."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.end_to_end.clones import Clone, copied

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WRITTEN = ("data", "models", "metrics")


def own_files(clone: Clone, image: Path) -> dict[Path, bytes]:
    """An image, and a folder with one, in every folder that the stages write into."""
    folders = [Path(name) for name in WRITTEN]
    folders += [
        path.relative_to(clone.folder)
        for name in WRITTEN
        for path in (clone.folder / name).rglob("*")
        if path.is_dir()
    ]
    for folder in folders:
        for name in ("mine.png", "cats/mine.png"):
            place = clone.folder / folder / name
            place.parent.mkdir(exist_ok=True)
            shutil.copy(image, place)
    found = [path for name in WRITTEN for path in (clone.folder / name).rglob("mine.png")]
    assert len(found) == 2 * len(folders) > 20
    return {path: path.read_bytes() for path in found}


def test_images_in_every_folder_survive(reproduced: Clone, tmp_path: Path, image_folder: Path) -> None:
    clone = copied(reproduced, tmp_path)
    mine = own_files(clone, next(image_folder.rglob("*.png")))
    before = clone.lock()

    def assert_all_there(after: str) -> None:
        assert [path for path in mine if not path.exists() or path.read_bytes() != mine[path]] == [], after

    for command in (
        ("dvc", "repro"),
        ("dvc", "repro", "--force", "fetch"),
        (
            "dvc",
            "exp",
            "run",
            "--name",
            "other",
            "-S",
            "seed=1",
            "-S",
            "split.validation_share=0.25",
            "evaluate",
        ),
        ("git", "checkout", "--quiet", "."),
        ("dvc", "checkout"),
        ("dvc", "checkout", "--force"),
        ("dvc", "exp", "apply", "other"),
        ("git", "checkout", "--quiet", "."),
        ("dvc", "checkout", "--force"),
        ("pipeline", "repro"),
        ("dvc", "commit", "--force"),
    ):
        name, *arguments = command
        clone.run(*((name,) if name == "git" else (sys.executable, "-m", name)), *arguments)
        assert_all_there(" ".join(command))
    assert clone.lock() == before
    assert "up to date" in clone.dvc("status")


def test_images_in_data_raw_are_read_and_stay(pristine: Clone, tmp_path: Path, image_folder: Path) -> None:
    clone = copied(pristine, tmp_path)
    shutil.copytree(image_folder, clone.folder / "data" / "raw")
    images = {path: path.read_bytes() for path in (clone.folder / "data" / "raw").rglob("*.png")}
    clone.dvc("exp", "run", "-S", "fetch.location=data/raw", "preprocess")
    clone.dvc("repro", "--force", "preprocess")
    assert {path: path.read_bytes() for path in images} == images
    assert (clone.folder / "data" / "fetched" / "images.tar").exists()
