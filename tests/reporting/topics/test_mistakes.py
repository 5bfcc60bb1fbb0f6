"""What is said and drawn about right and wrong answers."""

import numpy as np
import pytest

from pipeline.reporting.document import Example
from pipeline.reporting.topics.mistakes.confusions import (
    ConfusedPair,
    most_frequent_confusion,
    mutual_confusions,
)
from pipeline.reporting.topics.mistakes.figures import confusion_matrix_figure, examples_figure
from pipeline.reporting.topics.mistakes.section import wrong_by_all
from tests.reporting.fake_project import FakeProject
from tests.reporting.reading import Load, panels, plain, texts


def test_the_most_frequent_confusion() -> None:
    once, back, often = (
        ConfusedPair(*pair) for pair in (("a", "b", 1, 9), ("b", "a", 1, 9), ("a", "b", 4, 9))
    )
    assert "makes no mistake" in most_frequent_confusion([], "Tuned")
    assert "no pair of classes more than once" in most_frequent_confusion([once, back], "Tuned")
    assert plain(most_frequent_confusion([often, back], "Tuned")) == (
        "The most frequent confusion of Tuned: “a” taken for “b”, 4 of 9 test images of “a”."
    )


def test_images_that_no_network_gets_right(results: Load) -> None:
    together = results(FakeProject(wrong={"baseline": range(40), "transfer": range(5), "tuned": range(30)}))
    assert "wrong on 5\u00a0test images" in wrong_by_all(together)


def test_images_that_some_network_gets_right(results: Load) -> None:
    found = results(FakeProject(wrong={"baseline": (1,), "transfer": (2,), "tuned": (3,)}))
    assert wrong_by_all(found) == ("On every test image at least one of the networks is right.")


def test_confusions_count_in_both_directions() -> None:
    matrix = np.array([[9, 3, 2], [0, 9, 0], [4, 1, 9]])
    assert mutual_confusions(matrix, 2) == [(0, 2), (0, 1)]
    assert mutual_confusions(matrix, 9) == [(0, 2), (0, 1), (1, 2)]
    assert mutual_confusions(np.diag([1, 2, 3]), 9) == []


def test_confusion_matrix_shows_counts_and_shares() -> None:
    matrix = np.array([[8, 2], [0, 40]])
    figure = confusion_matrix_figure(matrix, ["cat", "dog"], "A title")
    axes = panels(figure)[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.8, 0.2], [0.0, 1.0]])
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {
        ((0, 0), "8"),
        ((1, 0), "2"),
        ((1, 1), "40"),
    }
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "actual class")
    assert axes.get_title(loc="left") == "A title"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]


def test_a_class_without_images_has_an_empty_row() -> None:
    figure = confusion_matrix_figure(np.array([[3, 0], [0, 0]]), ["a", "b"], "")
    np.testing.assert_array_equal(panels(figure)[0].images[0].get_array(), [[1, 0], [0, 0]])


@pytest.mark.parametrize("count", [31, 200])
def test_a_large_confusion_matrix_has_no_numbers_and_bounded_size(count: int) -> None:
    figure = confusion_matrix_figure(np.eye(count, dtype=int), [f"class {i}" for i in range(count)], "")
    assert texts(panels(figure)[0]) == []
    assert max(figure.get_size_inches()) < 20
    assert panels(figure)[0].get_xlabel() == (
        "predicted class" if count == 31 else "predicted class (number)"
    )


def test_examples_name_prediction_and_truth() -> None:
    example = Example(
        name="x.png",
        image=np.zeros((4, 4, 1), np.uint8),
        actual="dog",
        predicted="cat",
        probabilities=(("cat", 0.8), ("bird", 0.15)),
        actual_probability=0.05,
    )
    axes = panels(examples_figure([example], "Title"))[0]
    assert axes.get_title().replace("\u00a0", " ") == "✗ cat (80 %)"
    assert texts(axes) == ["actually dog"]
    assert example.shown_probabilities == (("cat", 0.8), ("bird", 0.15), ("dog", 0.05))
