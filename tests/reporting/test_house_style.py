"""What every figure has in common."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from pipeline.reporting.house_style import class_labels, figure_png, save_figure
from pipeline.reporting.topics.mistakes.figures import confusion_matrix_figure


def test_names_that_a_figure_cannot_show() -> None:
    assert class_labels(["cat", "猫", "$x_1$", "an extraordinarily long name 1"]) == [
        "cat",
        "<U+732B>",
        "$x_1$",
        "an extraordina…name 1",
    ]


def test_a_figure_gives_the_same_bytes_without_date_or_version(tmp_path: Path) -> None:
    def draw() -> Figure:
        return confusion_matrix_figure(np.eye(3, dtype=int), ["$a$", "b_1", "ü"], "Title")

    save_figure(draw(), tmp_path / "figure.png")
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "text.parse_math": True}):
        assert figure_png(draw()) == (tmp_path / "figure.png").read_bytes()
    with Image.open(tmp_path / "figure.png") as picture:
        assert set(picture.info) == {"dpi"}


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    before = dict(mpl.rcParams)
    figure_png(confusion_matrix_figure(np.eye(2, dtype=int), ["a", "b"], ""))
    assert dict(mpl.rcParams) == before
