"""How folders become classes and official subsets."""

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.sources.folders import arrange


def found(*names: str) -> list[tuple[str, str, str]]:
    images, _ = arrange(names)
    return [(image.name, image.class_name, image.official_subset) for image in images]


def refused(*names: str) -> dict[str, str]:
    _, rejected = arrange(names)
    return {item.file: item.reason for item in rejected}


def test_a_folder_per_class() -> None:
    assert found("cat/1.png", "dog/1.jpg") == [("cat/1.png", "cat", ""), ("dog/1.jpg", "dog", "")]


def test_classes_below_common_parents_and_beside_other_files() -> None:
    # Animals-10 as Kaggle serves it
    names = ("raw-img/cane/a.jpeg", "raw-img/gatto/b.jpg", "translate.py")
    assert found(*names) == [("raw-img/cane/a.jpeg", "cane", ""), ("raw-img/gatto/b.jpg", "gatto", "")]
    assert refused(*names) == {}


@pytest.mark.parametrize("parents", ["", "archive/", "archive/data/"])
@pytest.mark.parametrize("validation", ["val", "valid", "validation", "Validation"])
def test_official_subsets(parents: str, validation: str) -> None:
    names = (f"{parents}train/cat/1.png", f"{parents}{validation}/cat/1.png", f"{parents}test/dog/1.png")
    assert [(name, subset) for _, name, subset in found(*names)] == [
        ("cat", "train"),
        ("cat", "validation"),
        ("dog", "test"),
    ]


def test_a_training_folder_alone_is_a_subset() -> None:
    assert found("train/cat/1.png", "train/dog/1.png") == [
        ("train/cat/1.png", "cat", "train"),
        ("train/dog/1.png", "dog", "train"),
    ]


def test_a_class_may_be_called_train() -> None:
    assert [name for _, name, _ in found("bus/1.png", "car/1.png", "train/1.png")] == ["bus", "car", "train"]


def test_subsets_beside_classes_are_refused() -> None:
    with pytest.raises(PipelineError, match=r"side by side[\s\S]*extra, train"):
        arrange(["train/cat/1.png", "train/dog/1.png", "extra/1.png"])


def test_unlabeled_test_images_are_rejected() -> None:
    names = ("train/cat/1.png", "train/dog/1.png", "test/7.png")
    assert [subset for _, _, subset in found(*names)] == ["train", "train"]
    assert refused(*names) == {"test/7.png": "is not in a class folder"}


def test_images_in_wrong_places_are_rejected_and_other_files_there_are_ignored() -> None:
    names = (
        "cat/1.png",
        "dog/1.png",
        "cover.png",
        "dog/puppies/2.png",
        "dog/cat/3.png",
        "README.md",
        "docs/x/labels.csv",
    )
    assert refused(*names) == {
        "cover.png": "is not in a class folder",
        "dog/puppies/2.png": "is deeper than the files of a class",
        "dog/cat/3.png": "is deeper than the files of a class",
    }


def test_a_file_without_extension_in_a_class_folder_is_a_candidate() -> None:
    assert [name for name, _, _ in found("cat/1.png", "cat/2", "dog/1.png")] == [
        "cat/1.png",
        "cat/2",
        "dog/1.png",
    ]


def test_without_any_extension_every_file_is_a_candidate() -> None:
    assert [name for _, name, _ in found("cat/1", "dog/1")] == ["cat", "dog"]


def test_system_files_do_not_exist() -> None:
    names = (
        "cat/1.png",
        "dog/1.png",
        "cat/.hidden.png",
        "__MACOSX/cat/._1.png",
        "dog/Thumbs.db",
        ".git/x/1.png",
    )
    assert [name for name, _, _ in found(*names)] == ["cat/1.png", "dog/1.png"]
    assert refused(*names) == {}


def test_nothing_at_all() -> None:
    assert arrange([]) == ([], [])
    assert found("README.md") == []
