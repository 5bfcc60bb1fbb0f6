"""Subsets: official ones are kept, no picture is in two, every class is in each."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.images.catalogue import Catalogue, CatalogueEntry
from pipeline.images.splitting import Split, SplitReport, SplitRules, make_split, stratified_counts

RULES = SplitRules(seed=0, test_share=0.2, validation_share=0.25, train_limit=None)
SUBSETS = ("train", "validation", "test")


def catalogue(images: Sequence[tuple[str, str, str]]) -> Catalogue:
    """Of (class, official subset, picture); an empty picture is one of its own."""
    return Catalogue(
        [
            CatalogueEntry(number, f"{number}.png", name, subset, picture or f"own {number}", 1, 1, 0, 0)
            for number, (name, subset, picture) in enumerate(images)
        ]
    )


def plain(counts: dict[str, int], subset: str = "") -> list[tuple[str, str, str]]:
    return [(name, subset, "") for name, count in counts.items() for _ in range(count)]


def split(
    images: Sequence[tuple[str, str, str]], rules: SplitRules = RULES
) -> tuple[dict[str, set[int]], SplitReport]:
    result, report = make_split(catalogue(images), sorted({name for name, _, _ in images}), rules)
    subsets = {subset: set(result.ids[subset].tolist()) for subset in SUBSETS}
    assert all(list(ids) == sorted(ids) and ids.dtype == np.int64 for ids in result.ids.values())
    assert sum(map(len, subsets.values())) == len(set().union(*subsets.values())), (
        "an image is in two subsets"
    )
    return subsets, report


@pytest.mark.parametrize(
    ("sizes", "total", "expected"),
    [
        ([50, 30, 20], 10, [5, 3, 2]),
        ([5, 5, 5], 10, [4, 3, 3]),  # equal remainders: the first class
        ([33, 33, 34], 10, [3, 3, 4]),  # quotas 3.3, 3.3, 3.4
        ([70, 20, 10], 7, [5, 1, 1]),  # quotas 4.9, 1.4, 0.7
        ([98, 1, 1], 10, [8, 1, 1]),  # quotas 9.8, 0.1, 0.1, and nobody is left out
        ([10, 0, 10], 2, [1, 0, 1]),
        ([3, 4], 7, [3, 4]),
        ([3, 4], 0, [0, 0]),
    ],
)
def test_largest_remainders(sizes: list[int], total: int, expected: list[int]) -> None:
    assert stratified_counts(np.array(sizes), total).tolist() == expected


def test_shares_of_every_class() -> None:
    subsets, report = split(plain({"a": 100, "b": 50}))
    # test: 20 % of each; validation: 25 % of the 80 and 40 that remain
    assert report.class_counts == {
        "train": {"a": 60, "b": 30},
        "validation": {"a": 20, "b": 10},
        "test": {"a": 20, "b": 10},
    }
    assert set().union(*subsets.values()) == set(range(150))
    in_test = sum(1 for image in subsets["test"] if image < 100)
    assert in_test == 20


def test_the_choice_is_random_and_follows_the_seed() -> None:
    images = plain({"a": 100, "b": 100})
    first, again = split(images)[0], split(images)[0]
    other = split(images, SplitRules(1, 0.2, 0.25, None))[0]
    assert first == again
    assert first["test"] != other["test"]
    assert first["validation"] != other["validation"]
    chosen = sorted(image for image in first["test"] if image < 100)
    assert max(chosen) - min(chosen) > 50, "not the first or last ones"


def test_official_subsets_are_kept() -> None:
    images = (
        plain({"a": 10, "b": 10}, "train")
        + plain({"a": 3, "b": 4}, "validation")
        + plain({"a": 5, "b": 5}, "test")
    )
    subsets, report = split(images)
    assert subsets == {
        "train": set(range(20)),
        "validation": set(range(20, 27)),
        "test": set(range(27, 37)),
    }
    assert sum(report.class_counts["train"].values()) == 20


def test_validation_comes_out_of_train_where_only_test_is_official() -> None:
    subsets, _ = split(plain({"a": 20, "b": 20}, "train") + plain({"a": 5, "b": 5}, "test"))
    assert subsets["test"] == set(range(40, 50))
    assert len(subsets["validation"]) == 10
    assert subsets["train"] | subsets["validation"] == set(range(40))


def test_test_comes_out_of_train_where_only_validation_is_official() -> None:
    subsets, _ = split(plain({"a": 40, "b": 40}, "train") + plain({"a": 10, "b": 10}, "validation"))
    assert subsets["validation"] == set(range(80, 100))
    assert len(subsets["test"]) == 20  # a fifth of all 100 images
    assert subsets["train"] | subsets["test"] == set(range(80))


def test_duplicates_of_official_images_leave_the_subsets_below() -> None:
    images = [
        *plain({"a": 10, "b": 10}, "train"),
        ("a", "train", "in test"),
        ("b", "train", "in validation"),
        ("a", "train", "in train"),
        ("a", "train", "in train"),
        *plain({"a": 3, "b": 3}, "validation"),
        ("b", "validation", "in validation"),
        ("a", "validation", "in test too"),
        *plain({"a": 3, "b": 3}, "test"),
        ("a", "test", "in test"),
        ("a", "test", "in test"),
        ("b", "test", "in test too"),
    ]
    subsets, report = split(images)
    assert subsets["test"] == set(range(32, 41)), (
        "an official test subset is untouched, its own duplicates too"
    )
    assert subsets["validation"] == set(range(24, 31))
    assert subsets["train"] == set(range(20)) | {22, 23}
    assert report.duplicate_groups == 4  # in test, in validation, in train, in test too
    assert report.duplicate_images == 9
    assert (report.removed_from_train, report.removed_from_validation) == (2, 1)
    assert report.conflicting_labels == 1  # "in test too": an a and a b


@pytest.mark.parametrize("seed", range(20))
def test_no_picture_is_in_two_subsets(seed: int) -> None:
    random = np.random.default_rng(seed)
    pictures = random.integers(0, 60, 120)
    images = [("ab"[random.integers(2)], "", f"picture {picture}") for picture in pictures]
    subsets, report = split(images, SplitRules(seed, 0.2, 0.25, None))
    shown = {subset: {int(pictures[image]) for image in ids} for subset, ids in subsets.items()}
    assert not shown["train"] & shown["test"]
    assert not shown["train"] & shown["validation"]
    assert not shown["validation"] & shown["test"]
    assert set().union(*subsets.values()) == set(range(120)), "nothing is lost"
    assert abs(len(subsets["test"]) - 24) <= 4
    copies = Counter(pictures.tolist())
    classes = {
        picture: {name for (name, _, shown) in images if shown == f"picture {picture}"} for picture in copies
    }
    assert report.duplicate_groups == sum(count > 1 for count in copies.values())
    assert report.duplicate_images == sum(count for count in copies.values() if count > 1)
    assert report.conflicting_labels == sum(len(names) > 1 for names in classes.values())


def test_a_limit_shrinks_train_only() -> None:
    images = plain({"a": 100, "b": 50})
    full, _ = split(images)
    limited, report = split(images, SplitRules(0, 0.2, 0.25, 30))
    assert limited["test"] == full["test"]
    assert limited["validation"] == full["validation"]
    assert limited["train"] < full["train"]
    assert report.class_counts["train"] == {"a": 20, "b": 10}
    assert report.left_out_by_limit == 60


def test_a_limit_above_the_number_of_images_changes_nothing() -> None:
    images = plain({"a": 100, "b": 50})
    assert split(images, SplitRules(0, 0.2, 0.25, 90))[0] == split(images)[0]


def test_a_subset_without_a_class_is_one_clear_error() -> None:
    with pytest.raises(PipelineError, match=r"without a class[\s\S]*train has no 'b'[\s\S]*test_share"):
        split(plain({"a": 100, "b": 2}))
    with pytest.raises(PipelineError, match="test has no 'b'"):
        split(plain({"a": 20, "b": 20}, "train") + plain({"a": 5}, "test"))
    with pytest.raises(PipelineError, match="train has no"):
        split(plain({"a": 100, "b": 100}), SplitRules(0, 0.2, 0.25, 1))


def test_round_trip(tmp_path: Path) -> None:
    result, report = make_split(catalogue(plain({"a": 20, "b": 20})), ["a", "b"], RULES)
    report.save(tmp_path / "split.json", {"images": 6})
    assert SplitReport.load(tmp_path / "split.json") == report
    result.save(tmp_path / "split.csv")
    loaded = Split.load(tmp_path / "split.csv")
    for subset in SUBSETS:
        np.testing.assert_array_equal(loaded.ids[subset], result.ids[subset])
    lines = (tmp_path / "split.csv").read_text().splitlines()
    assert lines[0] == "id,subset"
    assert [int(line.split(",")[0]) for line in lines[1:]] == list(range(40))
