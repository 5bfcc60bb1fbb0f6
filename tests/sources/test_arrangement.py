"""How folders become classes and official subsets."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.foundation.errors import PipelineError
from pipeline.images.catalogue import UnusedFile
from pipeline.sources.arrangement import (
    Arrangement,
    arrange_by_folders,
    require_training_images,
    subset_of,
    subset_told_by,
)
from pipeline.sources.collection import FileCollection


def collection(
    *names: str, rejected: Sequence[str] = (), ignored: Sequence[str] = (), empty: Sequence[str] = ()
) -> FileCollection:
    return FileCollection(
        dict.fromkeys(names, 1),
        lambda name: b"",
        tuple(UnusedFile(name, "rejected") for name in rejected),
        tuple(UnusedFile(name, "ignored") for name in ignored),
        tuple(empty),
    )


def arrange(*names: str, **others: Sequence[str]) -> Arrangement:
    return arrange_by_folders(collection(*names, **others))


def found(*names: str) -> list[tuple[str, str, str]]:
    images = sorted(arrange(*names).images, key=lambda image: names.index(image.name))
    return [(image.name, image.class_name, image.official_subset) for image in images]


def refused(*names: str) -> dict[str, str]:
    return {item.file: item.reason for item in arrange(*names).rejected}


def ignored(*names: str) -> dict[str, str]:
    return {item.file: item.reason for item in arrange(*names).ignored}


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
        arrange("train/cat/1.png", "train/dog/1.png", "extra/1.png")


def test_unlabeled_test_images_are_left_for_predicting() -> None:
    names = ("train/cat/1.png", "train/dog/1.png", "test/7.png")
    assert [subset for _, _, subset in found(*names)] == ["train", "train"]
    assert refused(*names) == {}
    assert "has no label" in ignored(*names)["test/7.png"]


def test_images_in_wrong_places_are_rejected_and_other_files_there_are_ignored() -> None:
    names = (
        "cat/1.png",
        "dog/1.png",
        "cover.png",
        "dog/puppies/2.png",
        "dog/puppies/dog/3.png",
        "README.md",
        "docs/x/labels.csv",
    )
    assert refused(*names) == {
        "cover.png": "is not in the folder of a class",
        "dog/puppies/2.png": "is not in the folder of a class",
    }
    assert set(ignored(*names)) == {"dog/puppies/dog/3.png", "README.md", "docs/x/labels.csv"}


def test_a_file_without_extension_in_a_class_folder_is_a_candidate() -> None:
    assert [name for name, _, _ in found("cat/1.png", "cat/2", "dog/1.png")] == [
        "cat/1.png",
        "cat/2",
        "dog/1.png",
    ]


def test_without_any_extension_every_file_is_a_candidate() -> None:
    assert [name for _, name, _ in found("cat/1", "dog/1")] == ["cat", "dog"]


def test_nothing_at_all() -> None:
    assert found() == []
    assert found("README.md") == []


@pytest.mark.parametrize(
    ("folder", "subset"),
    [
        ("training_set", "train"),
        ("train_images", "train"),
        ("seg_train", "train"),
        ("Test-Set", "test"),
        ("valid", "validation"),
        ("trains", ""),
        ("test tubes", ""),
        ("seg_pred", ""),
        ("images", ""),
    ],
)
def test_names_of_subsets(folder: str, subset: str) -> None:
    assert subset_of(folder) == subset


def test_every_subset_in_a_folder_of_its_name_once_more() -> None:
    names = (
        *(
            f"seg_{subset}/seg_{subset}/{name}/1.png"
            for subset in ("train", "test")
            for name in ("sea", "wood")
        ),
        "seg_pred/seg_pred/7.png",
    )
    assert [(name, subset) for _, name, subset in found(*names)] == [
        ("sea", "train"),
        ("wood", "train"),
        ("sea", "test"),
        ("wood", "test"),
    ]
    assert "has no label" in ignored(*names)["seg_pred/seg_pred/7.png"]


def test_a_second_copy_of_the_classes_is_left_out() -> None:
    names = ("yes/1.png", "no/2.png", "brain/yes/1.png", "brain/no/2.png")
    assert [name for name, _, _ in found(*names)] == ["yes/1.png", "no/2.png"]
    assert set(ignored(*names)) == {"brain/yes/1.png", "brain/no/2.png"}


def test_one_class_in_two_normal_forms() -> None:
    assert {
        name for _, name, _ in found("train/caf\u00e9/1.png", "test/cafe\u0301/1.png", "train/tea/1.png")
    } == {
        "caf\u00e9",
        "tea",
    }


def test_without_training_images_there_is_nothing_to_do() -> None:
    with pytest.raises(
        PipelineError, match=r"none of training images[\s\S]*test: for example test/cat/1.png"
    ):
        require_training_images(arrange("test/cat/1.png", "test/dog/1.png"))
    require_training_images(arrange("train/cat/1.png", "test/dog/1.png"))
    require_training_images(arrange("cat/1.png", "dog/1.png"))
    require_training_images(arrange())


@pytest.mark.parametrize("top", ["", "pets/", "train/"])
@pytest.mark.parametrize(
    "others",
    [
        {"empty": ["owl/"]},
        {"empty": ["owl/young/"]},
        {"ignored": ["owl/.DS_Store"]},
        {"ignored": ["owl/images.zip"]},  # too large to be read
        {"rejected": ["owl/1.png", "owl/2.png"]},
        {"rejected": ["owl/barn/1.png"]},
        {"rejected": [".owl/1.png"]},
        {"names": ["owl/images.zip"]},
        {"names": ["owl/images.zip.001", "owl/README.md"]},
        {"names": ["owl/1.pdf"]},
        {"names": ["owl/barn/1.png"]},
        {"names": ["owl/barn/1.jp2"]},
    ],
    ids=str,
)
def test_a_class_without_images_is_missed(top: str, others: dict[str, list[str]]) -> None:
    below = {kind: [top + name for name in names] for kind, names in others.items()}
    arranged = arrange(f"{top}cat/1.png", f"{top}dog/1.png", *below.pop("names", ()), **below)
    (owl,) = arranged.classes - {"cat", "dog"}
    assert owl.strip(".") == "owl"
    unused = [item for item in (*arranged.rejected, *arranged.ignored) if item.class_name == owl]
    assert len(unused) == sum(len(names) for kind, names in others.items() if kind != "empty")


@pytest.mark.parametrize(
    "others",
    [
        {"empty": [".cache/", "__MACOSX/cat/"]},
        {"ignored": ["__MACOSX/cat/._1.png", ".git/config", ".thumbnails/1.png", ".store/1.png"]},
        {"ignored": ["__MACOSX/._images.zip", "all/"]},
        {"ignored": ["docs/.DS_Store", "docs/notes.md"], "names": ["docs/labels.csv"]},
        {"ignored": ["weights/model.h5"]},  # too large to be read
        {"names": ["annotations/1.xml", "annotations/more/2.xml"]},
        {"names": ["copy/cat/1.png", "copy/dog/1.png"], "ignored": ["copy/.DS_Store"]},
        {"rejected": ["../owl/1.png", "top.png"]},
    ],
    ids=str,
)
def test_what_is_no_class(others: dict[str, list[str]]) -> None:
    names = others.pop("names", [])
    assert arrange("cat/1.png", "dog/1.png", *names, **others).classes == {"cat", "dog"}


def test_folders_elsewhere_are_no_classes() -> None:
    arranged = arrange(
        "pets/train/cat/1.png", "pets/train/dog/1.png", empty=["docs/", "pets/docs/"], rejected=["x/1.png"]
    )
    assert arranged.classes == {"cat", "dog"}


@pytest.mark.parametrize("folder", ["test", "images", "test_images"])
def test_a_folder_around_images_without_labels(folder: str) -> None:
    names = ("train/cat/1.png", "train/dog/1.png", f"test/{folder}/7.png")
    assert {name for _, name, _ in found(*names)} == {"cat", "dog"}
    assert "has no label" in ignored(*names)[f"test/{folder}/7.png"]


def test_within_a_subset_a_class_may_be_called_train() -> None:
    names = [f"{subset}/{name}/1.png" for subset in ("train", "test") for name in ("bus", "train")]
    assert [name for _, name, _ in found(*names)] == ["bus", "train", "bus", "train"]


@pytest.mark.parametrize(
    ("table", "subset"),
    [
        ("train.csv", "train"),
        ("data/trainLabels.csv", "train"),
        ("Training_set.csv", "train"),
        ("test/labels.csv", "test"),
        ("labels.csv", ""),
        ("trains.csv", ""),
        ("train/test.csv", ""),
    ],
)
def test_the_subset_of_a_table(table: str, subset: str) -> None:
    assert subset_told_by(table) == subset


def test_what_lies_beside_images_is_ignored_and_named() -> None:
    names = ("cat/1.png", "cat/1.json", "dog/1.png", "train.zip")
    assert ignored(*names) == {
        "cat/1.json": "not an image by its name",
        "train.zip": "an archive within, which has to be unpacked first",
    }


NAMES = st.lists(
    st.lists(
        st.sampled_from(["train", "test", "cat", "dog", "a.png", "b.ppm", "c.json", "README"]),
        min_size=1,
        max_size=5,
    ),
    max_size=12,
)


@given(st.tuples(NAMES, NAMES, NAMES))
def test_every_file_is_accounted_for(paths: tuple[list[list[str]], ...]) -> None:
    files, rejected, ignored = ({"/".join(parts) for parts in kind} for kind in paths)
    names = sorted((*files, *rejected, *ignored))
    try:
        arranged = arrange(*files, rejected=sorted(rejected), ignored=sorted(ignored))
    except PipelineError:
        return
    accounted = [
        *(image.name for image in arranged.images),
        *(item.file for item in (*arranged.rejected, *arranged.ignored)),
    ]
    assert sorted(accounted) == names
