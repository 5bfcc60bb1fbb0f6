"""Train, validation and test subsets of a catalogue.

Stratified: every class has the same share in every subset, by the largest-remainder method. Images
with identical pixels form a group, and no group straddles two subsets, since a model would be tested
on what it was trained on.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.foundation.array_types import Int64
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import read_json, require, write_json
from pipeline.foundation.texts import first_few
from pipeline.foundation.workspace import SUBSETS
from pipeline.images.catalogue import Catalogue, write_csv

# Each choice has random numbers of its own, so that (for example) another limit on the training
# subset changes nothing in the others.
_TEST, _VALIDATION, _LIMIT = range(3)


@dataclass(frozen=True)
class SplitRules:
    """Attributes:
    seed: of the random choices.
    test_share: of all images, where the source has no test subset; 0 to 1.
    validation_share: of what is not test, where the source has no validation subset; 0 to 1.
    train_limit: largest number of training images, or None.
    """

    seed: int
    test_share: float
    validation_share: float
    train_limit: int | None


@dataclass(frozen=True)
class Split:
    """Which images belong to which subset.

    Attributes:
      ids: per subset, ascending catalogue ids.
    """

    ids: Mapping[str, Int64[np.ndarray, " _"]]

    def save(self, path: Path) -> None:
        rows = sorted((int(image_id), subset) for subset in SUBSETS for image_id in self.ids[subset])
        write_csv(path, ["id", "subset"], rows)

    @classmethod
    def load(cls, path: Path) -> "Split":
        ids: dict[str, list[int]] = {subset: [] for subset in SUBSETS}
        with require(path).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                ids[row["subset"]].append(int(row["id"]))
        return cls({subset: np.array(sorted(ids[subset]), dtype=np.int64) for subset in SUBSETS})


@dataclass(frozen=True)
class SplitReport:
    """What is worth knowing about a split; its JSON is metrics/split.json.

    Attributes:
      class_counts: images per subset and class.
      duplicate_groups, duplicate_images: groups of two or more images with identical pixels, and
        the images in them.
      removed_from_train, removed_from_validation: images left out because an official subset that
        stands above theirs holds the same pixels.
      conflicting_labels: groups whose images have more than one class.
      left_out_by_limit: training images left out by train_limit.
    """

    class_counts: Mapping[str, Mapping[str, int]]
    duplicate_groups: int
    duplicate_images: int
    removed_from_train: int
    removed_from_validation: int
    conflicting_labels: int
    left_out_by_limit: int

    def save(self, path: Path, files: Mapping[str, int]) -> None:
        """`files` is what became of those of the source, which has its place among the metrics here too."""
        values = {
            "files": dict(files),
            **{subset: sum(self.class_counts[subset].values()) for subset in SUBSETS},
            "classes": {subset: dict(self.class_counts[subset]) for subset in SUBSETS},
            "duplicates": {
                "groups": self.duplicate_groups,
                "images": self.duplicate_images,
                "removed_from_train": self.removed_from_train,
                "removed_from_validation": self.removed_from_validation,
            },
            "conflicting_labels": self.conflicting_labels,
            "left_out_by_limit": self.left_out_by_limit,
        }
        write_json(path, values)

    @classmethod
    def load(cls, path: Path) -> "SplitReport":
        """Raises PipelineError where the file is missing."""
        values = read_json(path)
        duplicates = values["duplicates"]
        return cls(
            class_counts=values["classes"],
            duplicate_groups=duplicates["groups"],
            duplicate_images=duplicates["images"],
            removed_from_train=duplicates["removed_from_train"],
            removed_from_validation=duplicates["removed_from_validation"],
            conflicting_labels=values["conflicting_labels"],
            left_out_by_limit=values["left_out_by_limit"],
        )


def make_split(catalogue: Catalogue, classes: Sequence[str], rules: SplitRules) -> tuple[Split, SplitReport]:
    """Choose the subsets.

    Official subsets are kept, the test subset without any change. A training or validation image
    whose pixels are also in the official test subset is left out, and so is a training image whose
    pixels are in the official validation subset. Where the source brings no test (validation)
    subset, one is taken from its training images; groups of identical images then move together.
    train_limit is applied last.

    Raises PipelineError where a subset would be without a class.
    """
    label_of = {name: label for label, name in enumerate(classes)}
    labels = np.array([label_of[entry.class_name] for entry in catalogue.entries], dtype=np.int64)
    official = np.array([entry.official_subset or "train" for entry in catalogue.entries])
    pixels = np.array([entry.pixels_sha256 for entry in catalogue.entries])
    groups = np.unique(pixels, return_inverse=True)[1]

    test = np.flatnonzero(official == "test")
    validation = np.flatnonzero(official == "validation")
    train = np.flatnonzero(official == "train")
    validation, removed_from_validation = _without_groups(validation, groups, test)
    train, removed_from_train = _without_groups(train, groups, np.concatenate([test, validation]))

    total = len(train) + len(validation) + len(test)
    if not len(test):
        train, test = _take_groups(
            train, labels, groups, round(rules.test_share * total), (rules.seed, _TEST)
        )
    if not len(validation):
        wanted = round(rules.validation_share * (total - len(test)))
        train, validation = _take_groups(train, labels, groups, wanted, (rules.seed, _VALIDATION))
    full_train = train
    if rules.train_limit is not None:
        train = _limited(train, labels, rules.train_limit, (rules.seed, _LIMIT))

    ids = {"train": train, "validation": validation, "test": test}
    counts = {
        subset: dict(
            zip(classes, np.bincount(labels[ids[subset]], minlength=len(classes)).tolist(), strict=True)
        )
        for subset in SUBSETS
    }
    _require_every_class(counts, rules)
    group_sizes = np.bincount(groups)
    group_classes = np.bincount(np.unique(np.stack([groups, labels]), axis=1)[0])
    report = SplitReport(
        class_counts=counts,
        duplicate_groups=int(np.count_nonzero(group_sizes > 1)),
        duplicate_images=int(group_sizes[group_sizes > 1].sum()),
        removed_from_train=removed_from_train,
        removed_from_validation=removed_from_validation,
        conflicting_labels=int(np.count_nonzero(group_classes > 1)),
        left_out_by_limit=len(full_train) - len(train),
    )
    return Split(ids), report


def stratified_counts(sizes: Int64[np.ndarray, " k"], total: int) -> Int64[np.ndarray, " k"]:
    """Share out `total` in proportion to `sizes`, by the largest-remainder (Hamilton) method.

    Every class that has images gets at least one as long as `total` allows it.

    Args:
      sizes: images per class.
      total: number to share out, 0 to sizes.sum(); what is returned sums to it.
    """
    # Whole numbers throughout: equal remainders must compare equal.
    quotas = sizes.astype(np.int64) * total
    counts, remainders = np.divmod(quotas, max(int(sizes.sum()), 1))
    counts[np.argsort(-remainders, kind="stable")[: total - counts.sum()]] += 1
    for empty in np.flatnonzero((counts == 0) & (sizes > 0)):
        largest = np.argmax(counts)
        if counts[largest] > 1:
            counts[largest] -= 1
            counts[empty] += 1
    return counts


def _without_groups(
    ids: Int64[np.ndarray, " m"], groups: Int64[np.ndarray, " n"], others: Int64[np.ndarray, " _"]
) -> tuple[Int64[np.ndarray, " kept"], int]:
    """`ids` without those that share a group with `others`, and how many those were."""
    shared = np.isin(groups[ids], groups[others])
    return ids[~shared], int(np.count_nonzero(shared))


def _take_groups(
    pool: Int64[np.ndarray, " m"],
    labels: Int64[np.ndarray, " n"],
    groups: Int64[np.ndarray, " n"],
    wanted: int,
    seed: tuple[int, int],
) -> tuple[Int64[np.ndarray, " kept"], Int64[np.ndarray, " taken"]]:
    """Move about `wanted` images out of `pool`, stratified, whole groups at a time.

    A group counts for the class of its first image. Returns what stays and what was taken, both
    ascending; a little less is taken where a group does not fit into the rest of its class.
    """
    _, first, group_of = np.unique(groups[pool], return_index=True, return_inverse=True)
    sizes = np.bincount(group_of)
    group_labels = labels[pool][first]
    class_sizes = np.bincount(group_labels, weights=sizes, minlength=int(labels.max()) + 1).astype(np.int64)
    quotas = stratified_counts(class_sizes, min(wanted, len(pool)))
    taken = np.zeros(len(sizes), dtype=bool)
    random = np.random.default_rng(seed)
    # In the order of the first image: the digests, by which np.unique sorts, mean nothing to people.
    for label, quota in enumerate(quotas.tolist()):
        members = np.flatnonzero(group_labels == label)
        members = members[np.argsort(first[members], kind="stable")]
        for group in random.permutation(members).tolist():
            if sizes[group] <= quota:
                taken[group] = True
                quota -= int(sizes[group])
    chosen = taken[group_of]
    return pool[~chosen], pool[chosen]


def _limited(
    train: Int64[np.ndarray, " m"], labels: Int64[np.ndarray, " n"], limit: int, seed: tuple[int, int]
) -> Int64[np.ndarray, " kept"]:
    """At most `limit` of the images, stratified, ascending."""
    if len(train) <= limit:
        return train
    random = np.random.default_rng(seed)
    chosen = [
        random.permutation(train[labels[train] == label])[:count]
        for label, count in enumerate(stratified_counts(np.bincount(labels[train]), limit).tolist())
    ]
    return np.sort(np.concatenate(chosen))


def _require_every_class(counts: Mapping[str, Mapping[str, int]], rules: SplitRules) -> None:
    missing = [
        f"{subset} has no '{name}'"
        for subset in SUBSETS
        for name, count in counts[subset].items()
        if not count
    ]
    if missing:
        raise PipelineError(
            "The images cannot be split: a subset would be without a class.",
            expected="at least one image of every class in train, validation and test",
            found=first_few(missing, 10, "; "),
            remedy=(
                "add images of that class, or change split.test_share "
                f"({rules.test_share:g}), split.validation_share ({rules.validation_share:g}) "
                f"or split.train_limit ({rules.train_limit})"
            ),
        )
