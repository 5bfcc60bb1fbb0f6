"""Single images with what a model says about them."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pipeline.reporting.document import Example
from pipeline.reporting.figures.style import (
    MUTED,
    NARROW,
    RIGHT,
    WRONG,
    class_labels,
    in_house_style,
    judged,
    new_figure,
)
from pipeline.reporting.wording import percent

_COLUMNS = 6


@in_house_style
def examples_figure(examples: Sequence[Example], title: str) -> Figure:
    """Images in a grid: above each the predicted class with its probability, below a wrong one the actual."""
    rows = math.ceil(len(examples) / _COLUMNS)
    figure = new_figure(NARROW * 1.6, 0.5 + 1.6 * rows)
    grid = figure.subplots(rows, _COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, example in zip(grid.flat, examples, strict=False):
        image = example.image
        axes.imshow(np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image, interpolation="nearest")
        predicted, actual = class_labels([example.predicted, example.actual], longest=14)
        axes.set_title(
            f"{judged(predicted, example.right)} ({percent(example.confidence, 0)})",
            loc="center",
            fontsize=8.0,
            fontweight="normal",
            color=RIGHT if example.right else WRONG,
        )
        if not example.right:
            axes.text(
                0.5,
                -0.03,
                f"actually {actual}",
                transform=axes.transAxes,
                ha="center",
                va="top",
                fontsize=8.0,
                color=MUTED,
            )
    figure.suptitle(title, x=0.01, ha="left", fontsize=10.5, fontweight="bold")
    return figure
