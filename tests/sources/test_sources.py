"""Locations and the renaming of classes."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.images.decoding import decode
from pipeline.sources.sources import ImageSource, SourceImage, array_source, parse_location, rename_classes

SOURCE = ImageSource(
    [SourceImage("1", "cane", "train"), SourceImage("2", "gatto", "")],
    lambda index: b"",
    lambda index: 0,
    ("cane", "gatto"),
    "f",
)


def test_renamed_classes_keep_their_labels() -> None:
    renamed = rename_classes(SOURCE, {"gatto": "cat", "cane": "dog"})
    assert renamed.classes == ("dog", "cat")
    assert [(image.name, image.class_name) for image in renamed.images] == [("1", "dog"), ("2", "cat")]


def test_an_unknown_class_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(
        PipelineError, match=r"'gato', which is not a class[\s\S]*cane, gatto[\s\S]*did you mean 'gatto'"
    ):
        rename_classes(SOURCE, {"gato": "cat"})


def test_two_classes_cannot_share_a_name() -> None:
    with pytest.raises(PipelineError, match="several classes the name 'gatto'"):
        rename_classes(SOURCE, {"cane": "gatto"})


def test_names_may_be_exchanged() -> None:
    assert rename_classes(SOURCE, {"cane": "gatto", "gatto": "cane"}).classes == ("gatto", "cane")


def test_locations(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()

    def resolve(text: str) -> Path:
        return tmp_path / text

    assert parse_location(None, resolve).text is None
    assert parse_location("images", resolve).path == tmp_path / "images"
    assert parse_location("HTTPS://example.org/x", resolve).url == "HTTPS://example.org/x"
    with pytest.raises(PipelineError, match=r"does not exist[\s\S]*nowhere"):
        parse_location("nowhere", resolve)


def test_arrays_become_images() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
    source = array_source(
        {"train": (pixels[:2], np.array([1, 0])), "test": (pixels[2:], np.array([1]))}, ("a", "b"), "f"
    )
    assert [(image.name, image.class_name, image.official_subset) for image in source.images] == [
        ("train/00000", "b", "train"),
        ("train/00001", "a", "train"),
        ("test/00000", "b", "test"),
    ]
    for index in range(3):
        np.testing.assert_array_equal(np.asarray(decode(source.read(index)).pixels), pixels[index])
