"""What is found below a folder, and what is passed over."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.sources.bounds import USUAL
from pipeline.sources.walking import HIDDEN, IN_HIDDEN_FOLDER, LEFT_BEHIND, is_beside_images, walk


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_images_in_a_hidden_folder_are_refused_not_passed_over(tmp_path: Path) -> None:
    made(tmp_path, "java/1.png", ".NET/1.png", ".NET/notes.txt", "java/.draft.png")
    found = walk(tmp_path, USUAL)
    assert list(found.files) == ["java/1.png"]
    assert [(each.file, each.reason) for each in found.rejected] == [(".NET/1.png", IN_HIDDEN_FOLDER)]
    assert {each.file: each.reason for each in found.ignored} == {
        ".NET/notes.txt": HIDDEN,
        "java/.draft.png": HIDDEN,
    }


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".thumbnails/large/1.png", HIDDEN),
        ("cats/.ipynb_checkpoints/1-checkpoint.png", HIDDEN),
        (".Trash-1000/files/1.png", HIDDEN),
        ("__MACOSX/cats/._1.png", LEFT_BEHIND),
        ("cats/.AppleDouble/1.png", HIDDEN),
    ],
)
def test_hidden_folders_of_programs_are_passed_over(tmp_path: Path, name: str, reason: str) -> None:
    found = walk(made(tmp_path, "cats/1.png", name), USUAL)
    assert found.rejected == []
    assert [(each.file, each.reason) for each in found.ignored] == [(name, reason)]


def test_what_links_name_in_a_hidden_folder_is_used_by_the_links_names(tmp_path: Path) -> None:
    made(tmp_path, ".store/1.png", ".store/2.png", "cats/2.png")
    (tmp_path / "cats" / "1.png").symlink_to(tmp_path / ".store" / "1.png")
    found = walk(tmp_path, USUAL)
    assert sorted(found.files) == ["cats/1.png", "cats/2.png"]
    assert [each.file for each in found.rejected] == [".store/2.png"]
    assert [each.file for each in found.ignored] == [".store/1.png"]


def test_a_folder_that_cannot_be_entered_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(tmp_path, "a/1.png", "b/1.png", "lost+found/1.png", ".git/1.png", ".NET/1.png")
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if Path(path).name in ("b", "lost+found", ".git", ".NET"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    found = walk(tmp_path, USUAL)
    assert list(found.files) == ["a/1.png"]
    assert found.closed == [".NET/", "b/"]
    assert [(each.file, each.reason) for each in found.rejected] == [
        (".NET/", "cannot be entered: permission denied"),
        ("b/", "cannot be entered: permission denied"),
    ]
    assert [each.file for each in found.ignored] == [".git/", "lost+found/"]


def test_a_folder_that_is_too_deep_or_was_linked_to_and_is_gone_is_closed(tmp_path: Path) -> None:
    made(tmp_path, "a/1.png", "b/c/1.png")
    (tmp_path / "cats").symlink_to(tmp_path / "gone")
    (tmp_path / "1.png").symlink_to(tmp_path / "gone")
    found = walk(tmp_path, USUAL.model_copy(update={"depth": 1}))
    assert found.closed == ["b/c/", "cats"]
    assert [each.file for each in found.rejected] == ["1.png", "b/c/", "cats"]


def test_a_second_link_to_a_folder_is_ignored(tmp_path: Path) -> None:
    made(tmp_path, "a/1.png")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    found = walk(tmp_path, USUAL)
    assert (list(found.files), found.closed, found.rejected) == (["a/1.png"], [], [])
    assert [each.file for each in found.ignored] == ["b/"]


def test_empty_folders_of_programs_are_no_classes(tmp_path: Path) -> None:
    for name in ("a", ".NET", ".ipynb_checkpoints", "__MACOSX"):
        (tmp_path / name).mkdir()
    assert walk(tmp_path, USUAL).empty == [".NET/", "a/"]


@pytest.mark.parametrize("create", [Path.touch, Path.mkdir])
def test_neither_files_nor_folders_are_too_many(tmp_path: Path, create: Callable[[Path], None]) -> None:
    for name in "abcd":
        create(tmp_path / name)
    assert walk(tmp_path, USUAL.model_copy(update={"files": 5}))
    with pytest.raises(PipelineError, match="more than 3 files"):
        walk(tmp_path, USUAL.model_copy(update={"files": 3}))


@pytest.mark.parametrize(
    ("name", "beside"),
    [("1.json", True), ("train.zip", True), ("train.zip.001", True), ("1.png", False), ("1", False)],
)
def test_names_of_what_lies_beside_images(name: str, beside: bool) -> None:
    assert is_beside_images(name) is beside
