"""One image with its heatmap and what the network says about it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pipeline.foundation.array_types import Float32, UInt8
from pipeline.foundation.texts import shortened
from pipeline.reporting.house_style import (
    BLUE,
    GRID,
    INK,
    MUTED,
    WIDE,
    class_labels,
    in_house_style,
    new_canvas,
    place_image,
    place_title,
)
from pipeline.reporting.topics.explanations.heatmaps import overlay
from pipeline.reporting.wording import percent

_SIDE, _GAP, _HEAD, _FOOT = 2.6, 0.15, 0.62, 0.3
_ROW, _BAR_TOP, _BAR_BOTTOM = 0.42, 0.2, 0.3
"""Inches: the height of a class, and its bar within that."""
_MOST_ROWS, _LONGEST_TITLE = 6, 85


@in_house_style
def explained_figure(
    image: UInt8[np.ndarray, "side side c"],
    heatmap: Float32[np.ndarray, "h w"],
    answer: Sequence[tuple[str, float]],
    asked: str,
    title: str,
) -> Figure:
    """The image as the network's square, the same with the heatmap over it, and the most probable classes.

    Args:
      image: of any resolution.
      heatmap: 0 to 1.
      answer: (class, probability), the most probable first; at most 6 are shown.
      asked: the class that the heatmap speaks for.
      title: above everything, such as the name of the file; of a long one the end is shown.
    """
    figure, canvas = new_canvas(WIDE, _HEAD + _SIDE + _FOOT)
    place_title(canvas, shortened(title, _LONGEST_TITLE, cut="start"))
    place_image(canvas, image, _GAP, _HEAD, _SIDE)
    left = _GAP + _SIDE + _GAP
    place_image(canvas, overlay(image, heatmap), left, _HEAD, _SIDE)
    label = class_labels([asked])[0]
    speaks = f"what speaks for {label}" if heatmap.any() else f"nothing speaks for {label}"
    for middle, text in ((_GAP + _SIDE / 2, "what the network sees"), (left + _SIDE / 2, speaks)):
        canvas.text(middle, _HEAD - 0.06, text, ha="center", va="bottom", fontsize=9, color=MUTED)
    left, right = left + _SIDE + 3 * _GAP, WIDE - 3 * _GAP
    shown = answer[:_MOST_ROWS]
    names = class_labels([name for name, _ in shown], longest=30)
    for row, (name, (own, probability)) in enumerate(zip(names, shown, strict=True)):
        top = _HEAD + row * _ROW
        weight = "bold" if row == 0 else "normal"
        for x, text, side in ((left, name, "left"), (right, percent(probability, 1), "right")):
            canvas.text(x, top, text, ha=side, va="top", fontsize=10, color=INK, fontweight=weight)
        color = BLUE if own == asked else MUTED
        for share, shade in ((1.0, GRID), (probability, color)):
            end = left + share * (right - left)
            canvas.fill_between((left, end), top + _BAR_TOP, top + _BAR_BOTTOM, color=shade, lw=0)
    return figure
