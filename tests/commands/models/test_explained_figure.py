"""The picture of one explained image."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.commands.models.explained_figure import explained_figure
from pipeline.reporting.house_style import figure_png

ANSWER = tuple((f"class {number}", 0.5 / 2**number) for number in range(9))


def texts(**changes: object) -> list[str]:
    values: dict[str, Any] = {
        "image": np.zeros((40, 40, 3), np.uint8),
        "heatmap": np.eye(4, dtype=np.float32),
        "answer": ANSWER,
        "asked": "class 0",
        "title": "cat.png",
    }
    figure = explained_figure(**{**values, **changes})
    assert figure_png(figure) == figure_png(figure)
    with Image.open(io.BytesIO(figure_png(figure))) as picture:
        assert picture.size[0] > 2 * picture.size[1]
    return [text.get_text() for text in figure.axes[0].texts]


def test_the_six_most_probable_classes_with_their_percentages() -> None:
    found = texts()
    assert [text for text in found if text.startswith("class")] == [f"class {number}" for number in range(6)]
    assert next(text for text in found if "%" in text).startswith("50.0")
    assert "what speaks for class 0" in found


def test_two_classes_and_gray_images() -> None:
    found = texts(image=np.zeros((9, 9, 1), np.uint8), answer=ANSWER[:2])
    assert len([text for text in found if "%" in text]) == 2


def test_where_nothing_speaks_for_the_class_it_says_so() -> None:
    found = texts(heatmap=np.zeros((4, 4), np.float32), asked="class 8")
    assert "nothing speaks for class 8" in found


@pytest.mark.parametrize("length", [10, 300])
def test_of_a_long_title_the_end_is_shown(length: int) -> None:
    title = texts(title="x" * length + "end.png")[0]
    assert title.endswith("end.png")
    assert len(title) <= 85
