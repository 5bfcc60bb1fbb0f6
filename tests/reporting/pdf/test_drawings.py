"""Figures as files of a PDF."""

import numpy as np

from pipeline.reporting.house_style import in_house_style, new_figure
from pipeline.reporting.pdf.drawings import figure_file
from tests.reporting.samples import chart


def test_a_figure_is_a_drawing_whose_text_can_be_found() -> None:
    content, ending = figure_file(chart("some").figure)
    assert ending == "svg"
    assert b"title of some" in content
    assert b"date" not in content.lower()


def test_equal_figures_are_equal_files_and_drawing_again_changes_nothing() -> None:
    first, second = chart("some").figure, chart("some").figure
    content = figure_file(first)
    assert figure_file(second) == content
    assert figure_file(first) == content


@in_house_style
def test_a_figure_of_very_many_points_is_a_picture() -> None:
    figure = new_figure(3, 3)
    random = np.random.default_rng(0)
    figure.add_subplot().scatter(*random.normal(size=(2, 20_000)))
    content, ending = figure_file(figure)
    assert ending == "png"
    assert content.startswith(b"\x89PNG")
