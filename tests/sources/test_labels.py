"""How rows of a table and patterns become the classes of files."""

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.images.catalogue import UnusedFile
from pipeline.sources.archives import open_files
from pipeline.sources.arrangement import Arrangement
from pipeline.sources.bounds import USUAL
from pipeline.sources.collection import FileCollection
from pipeline.sources.labels import arrange_by_pattern, arrange_by_table

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))


def collection(names: Sequence[str], tables: Mapping[str, bytes], rejected: Sequence[str]) -> FileCollection:
    return FileCollection(
        dict.fromkeys((*names, *tables), 1),
        lambda name: tables[name],
        tuple(UnusedFile(name, "a link to nothing") for name in rejected),
        (),
    )


def by_table(
    rows: str, *names: str, table: str = "labels.csv", rejected: Sequence[str] = (), header: str = "id,label"
) -> Arrangement:
    """Images whose classes are in a table with these rows, separated by spaces."""
    text = "\n".join((header, *rows.split(), ""))
    return arrange_by_table(collection(names, {table: text.encode()}, rejected), table, None)


def labelled(arranged: Arrangement) -> dict[str, str]:
    return {image.name: image.class_name for image in arranged.images}


@pytest.mark.parametrize(
    ("row", "name", "table"),
    [
        ("t/0.png", "t/0.png", "labels.csv"),
        ("./t/0.png", "t/0.png", "labels.csv"),
        ("/t/0.png", "t/0.png", "labels.csv"),
        ("t\\0.png", "t/0.png", "labels.csv"),
        ("t/0", "t/0.png", "labels.csv"),
        ("0.png", "t/0.png", "labels.csv"),
        ("0", "t/0.png", "labels.csv"),
        ("v1.0", "t/v1.0.png", "labels.csv"),
        ("images/0.png", "data/images/0.png", "data/labels.csv"),
        ("../images/0.png", "data/images/0.png", "data/tables/labels.csv"),
        ("images/0.png", "data/images/0.png", "labels.csv"),
        ("0.jpg", "t/0.JPG", "labels.csv"),
        ("0.JPG", "t/0.jpg", "labels.csv"),
        (COMPOSED, f"t/{DECOMPOSED}.png", "labels.csv"),
        (f"{DECOMPOSED}.png", f"t/{COMPOSED}.png", "labels.csv"),
    ],
)
def test_how_a_row_may_name_its_file(row: str, name: str, table: str) -> None:
    arranged = by_table(f"{row},cat x,dog", name, "x.png", table=table)
    assert labelled(arranged) == {name: "cat", "x.png": "dog"}
    assert arranged.notes == []


@pytest.mark.parametrize(
    ("table", "names", "used"),
    [
        ("train.csv", ("train/0.png", "test/0.png"), "train/0.png"),
        ("trainLabels.csv", ("test_images/0.png", "train_images/0.png"), "train_images/0.png"),
        ("train/labels.csv", ("train/images/0.png", "test/images/0.png"), "train/images/0.png"),
        ("train.csv", ("train/0.png", "masks/0.png"), "train/0.png"),
        ("train.csv", ("images/0.png", "test/0.png"), "images/0.png"),
        ("labels.csv", ("t/0.png", "t/0.json"), "t/0.png"),
        ("labels.csv", ("t/0.png", "t/0.jp2"), "t/0.png"),
        ("labels.csv", ("0.png", "copy/0.png"), "0.png"),
        ("data/labels.csv", ("data/0.png", "copy/0.png"), "data/0.png"),
    ],
)
def test_of_several_files_the_table_tells_which(table: str, names: tuple[str, ...], used: str) -> None:
    arranged = by_table("0,cat x,dog", *names, "x.png", table=table)
    assert labelled(arranged) == {used: "cat", "x.png": "dog"}
    assert {item.file for item in arranged.ignored} == {table, *names} - {used}


@pytest.mark.parametrize(
    ("table", "names"),
    [
        ("labels.csv", ("train/0.png", "test/0.png")),
        ("labels.csv", ("t/0.png", "t/0.jpg")),
        ("train.csv", ("train/a/0.png", "train/b/0.png")),
        ("labels.csv", (f"t/{COMPOSED}/0.png", f"t/{DECOMPOSED}/0.png")),
    ],
)
def test_a_row_that_may_be_several_files(table: str, names: tuple[str, ...]) -> None:
    with pytest.raises(PipelineError, match=r"'0' in .* may be several files") as caught:
        by_table("0,cat x,dog", *names, "x.png", table=table)
    assert all(name in str(caught.value) for name in names)


def test_a_bare_name_in_a_table_of_training_images_is_no_test_image() -> None:
    arranged = by_table("0,cat 1,dog 7,dog", "train/0.png", "train/1.png", "test/7.png", table="train.csv")
    assert labelled(arranged) == {"train/0.png": "cat", "train/1.png": "dog"}
    assert arranged.notes == ["1 rows of train.csv name no image that is there: 7"]
    with_path = by_table("train/0,cat test/7,dog", "train/0.png", "test/7.png", table="train.csv")
    assert labelled(with_path) == {"train/0.png": "cat", "test/7.png": "dog"}


@pytest.mark.parametrize("rows", ["0,cat 0.png,dog", "t/0.png,cat 0,dog", "0.png,cat ./0.png,dog"])
def test_a_file_with_two_classes(rows: str) -> None:
    with pytest.raises(PipelineError, match=r"two classes[\s\S]*cat") as caught:
        by_table(rows, "t/0.png")
    assert "dog" in str(caught.value)


def test_what_lies_beside_an_image_is_not_named_by_its_number() -> None:
    arranged = by_table("0,cat 1,dog 7,dog", "0.png", "1.png", "7.json")
    assert labelled(arranged) == {"0.png": "cat", "1.png": "dog"}
    assert arranged.notes == ["1 rows of labels.csv name no image that is there: 7"]


def test_rows_that_agree() -> None:
    assert labelled(by_table("0,cat 0.png,cat x,dog", "t/0.png", "x.png")) == {
        "t/0.png": "cat",
        "x.png": "dog",
    }


def test_one_class_in_two_normal_forms() -> None:
    by_rows = by_table(f"0,{COMPOSED} 1,{DECOMPOSED}", "0.png", "1.png")
    by_names = arrange_by_pattern(
        collection([f"{COMPOSED}_1.png", f"{DECOMPOSED}_2.png"], {}, ()), "(?P<label>.)_"
    )
    assert by_rows.classes == by_names.classes == {COMPOSED}


def test_two_tables_of_one_name() -> None:
    tables = {"train/labels.csv": b"id,label\n0,cat\n", "test/labels.csv": b"id,label\n1,dog\n"}
    files = collection(["train/0.png", "test/1.png"], tables, ())
    with pytest.raises(PipelineError, match=r"several tables[\s\S]*test/labels.csv, train/labels.csv"):
        arrange_by_table(files, "labels.csv", None)
    assert labelled(arrange_by_table(files, "./train/labels.csv", None)) == {"train/0.png": "cat"}


def test_a_table_that_is_not_there() -> None:
    with pytest.raises(PipelineError, match=r"'labels.csv' is not among the files[\s\S]*train.csv"):
        arrange_by_table(collection(["0.png"], {"train.csv": b""}, ()), "labels.csv", None)


def test_a_table_that_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"")
    with (tmp_path / "labels.csv").open("wb") as file:
        file.truncate(2_000_000)
    with (
        pytest.raises(PipelineError, match=r"'labels.csv' cannot be read[\s\S]*fetch.limits.file_mb"),
        open_files(tmp_path, tmp_path, USUAL.model_copy(update={"file_mb": 1}), None) as files,
    ):
        arrange_by_table(files, "labels.csv", None)


@pytest.mark.parametrize("rows", ['0,"cat\n1,dog\n', '0,"cat\n' + "1,dog\n" * 30_000, '0,"cat"s\n'], ids=len)
def test_a_quotation_mark_too_few_or_too_many(rows: str) -> None:
    files = collection(["0.png", "1.png"], {"labels.csv": f"id,label\n{rows}".encode()}, ())
    with pytest.raises(PipelineError, match=r"labels\.csv cannot be read"):
        arrange_by_table(files, "labels.csv", None)


def test_two_columns_of_one_name() -> None:
    with pytest.raises(PipelineError, match="not known which columns"):
        by_table("0,cat,dog", "0.png", header="id,label,label")


def test_a_class_of_a_table_without_images_is_missed() -> None:
    arranged = by_table("0,cat 1,dog 2,owl 3,yak", "0.png", "1.png", "2.jp2", rejected=["3.png"])
    assert arranged.classes == {"cat", "dog", "owl", "yak"}
    assert labelled(arranged)["2.jp2"] == "owl", "reading it tells why it is no image"
    assert [(item.file, item.class_name) for item in arranged.rejected] == [("3.png", "yak")]
    assert by_table("0,cat 1,dog 2,owl", "0.png", "1.png").classes == {"cat", "dog", "owl"}


def test_a_class_of_a_pattern_without_images_is_missed() -> None:
    names = ["cat_1.png", "dog_1.png", "owl_1.jp2", "cat_1.json", "pig_1.zip", "x.png"]
    arranged = arrange_by_pattern(collection(names, {}, ["yak_1.png", "y.png"]), "(?P<label>[a-z]+)_[0-9]")
    assert arranged.classes == {"cat", "dog", "owl", "yak"}
    assert labelled(arranged) == {"cat_1.png": "cat", "dog_1.png": "dog", "owl_1.jp2": "owl"}
    assert {item.file for item in arranged.ignored} == {"cat_1.json", "pig_1.zip", "x.png"}
    assert {item.file: item.class_name for item in arranged.rejected} == {"yak_1.png": "yak", "y.png": ""}


def test_a_pattern_that_fits_nothing() -> None:
    with pytest.raises(PipelineError, match=r"finds a label[\s\S]*1.png"):
        arrange_by_pattern(collection(["1.png"], {}, ()), "(?P<label>[a-z]+)_")


def test_subsets_are_those_of_folders() -> None:
    arranged = by_table("0,cat 1,dog", "train_images/0.png", "x/val/1.png")
    assert [image.official_subset for image in arranged.images] == ["train", "validation"]
