"""What is said and drawn about the images."""

import numpy as np
import pytest

from pipeline.params.augmentation import AugmentationParams
from pipeline.reporting.topics.data import section
from pipeline.reporting.topics.data.figures import class_distribution_figure, image_rows_figure, mosaic_of
from tests.reporting.fake_project import NO_AUGMENTATION, FakeProject
from tests.reporting.reading import Load, panels, plain


def test_duplicates_and_contradictions(results: Load) -> None:
    found = results(FakeProject(conflicting_labels=2, left_out_by_limit=1))
    assert plain(section.duplicates(found)) == (
        "7 images in 3 groups are identical to another one, pixel by pixel. "
        "So that no test image is known beforehand, copies were removed: 4 from train."
    )
    assert "2\u00a0groups of identical images the labels contradict" in section.conflicting_labels(found)
    assert "1\u00a0image was left out" in section.left_out(found)
    told = section.files_of_the_source(found.source).replace("\u00a0", " ")
    used = len(FakeProject().classes) * (8 + 4 + FakeProject().test_per_class)
    assert (
        f"Of the {used + 3} files of the source, {used} are used, 1 could not be used and 2 are not" in told
    )


def test_nothing_to_clean_up(results: Load) -> None:
    found = results(
        FakeProject(duplicate_groups=0, duplicate_images=0, removed_from_train=0, rejected=(), ignored=())
    )
    assert section.duplicates(found) == "No image occurs twice, pixel by pixel."
    assert section.conflicting_labels(found) == ""
    assert section.left_out(found) == ""
    assert section.files_of_the_source(found.source) == "Every file of the source could be used."


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([50, 50], "Every class has 50 training images."),
        ([50, 54], "The classes are about equally frequent: 50 to 54 training images each."),
        ([20, 60], "The classes differ in size: “b” has 60 training images, 3.0 times as many as “a” (20)."),
    ],
)
def test_class_sizes(counts: list[int], said: str) -> None:
    assert plain(section.class_sizes(np.array(counts), ["a", "b"])) == said


def test_augmentation_names_what_is_on() -> None:
    off = AugmentationParams(**NO_AUGMENTATION)
    assert "turned off" in section.augmentation(off)
    on = AugmentationParams(**{**NO_AUGMENTATION, "horizontal_flip": True, "shift": 0.125})
    text = plain(section.augmentation(on))
    assert "it may be mirrored left to right and shifted by up to 12.5 % of its side." in text
    assert "rotated" not in text


def test_class_distribution_stacks_the_subsets() -> None:
    counts = {"train": np.array([5, 7]), "validation": np.array([1, 2]), "test": np.array([3, 3])}
    axes = panels(class_distribution_figure(counts, ["a", "b"]))[0]
    bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
    assert bars == [(0, 5), (0, 7), (5, 1), (7, 2), (6, 3), (9, 3)]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "train (12)",
        "validation (3)",
        "test (6)",
    ]
    assert axes.get_title(loc="left") == "Images per class: 9 to 12"


def test_many_classes_are_ordered_by_size() -> None:
    sizes = np.arange(1, 41)
    axes = panels(class_distribution_figure({"train": sizes}, [str(i) for i in sizes]))[0]
    assert [bar.get_height() for bar in axes.patches] == list(range(40, 0, -1))


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_the_legend_of_large_subsets_is_not_cut(classes: int) -> None:
    counts = {name: np.full(classes, 600_000 // classes) for name in ("train", "validation", "test")}
    figure = class_distribution_figure(counts, [f"species {number}" for number in range(classes)])
    figure.canvas.draw()
    legend = panels(figure)[0].get_legend().get_window_extent()
    assert figure.bbox.x0 <= legend.x0
    assert legend.x1 <= figure.bbox.x1


def test_mosaic_puts_images_side_by_side() -> None:
    black, gray = np.zeros((1, 2, 2, 1), np.uint8), np.full((2, 2, 2, 1), 100, np.uint8)
    mosaic = mosaic_of([black, gray], gap=1)
    assert mosaic.shape == (5, 5, 3)
    np.testing.assert_array_equal(
        mosaic[..., 0],
        [
            [0, 0, 255, 255, 255],
            [0, 0, 255, 255, 255],
            [255, 255, 255, 255, 255],
            [100, 100, 255, 100, 100],
            [100, 100, 255, 100, 100],
        ],
    )


def test_image_rows_are_labeled_in_their_middle() -> None:
    images = np.zeros((2, 4, 4, 3), np.uint8)
    axes = panels(image_rows_figure([("a", images), ("b", images)], "Samples"))[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    np.testing.assert_allclose(axes.get_yticks(), [1.75, 6.25])
