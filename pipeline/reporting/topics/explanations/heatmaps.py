"""Images with the places that spoke for the predicted class."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from pipeline.foundation.array_types import Float32, Int64, UInt8
from pipeline.reporting.house_style import (
    INK,
    MUTED,
    RIGHT,
    WIDE,
    WRONG,
    as_rgb,
    class_labels,
    in_house_style,
    judged,
    new_canvas,
    place_image,
    place_title,
)
from pipeline.reporting.selection import of_different_classes, surest_first
from pipeline.reporting.wording import candidate_title, percent
from pipeline.scoring.explanations import Explanations
from pipeline.scoring.predictions import Predictions

_COLUMNS = 8
_GAP = 0.07
_SIDE = (WIDE - _GAP) / _COLUMNS - _GAP
"""Inches, as all lengths below: side of an image."""

_HEAD = 0.45
"""The title."""

_NAMES = 0.56
"""The name of a group and what is said above each of its images."""

_ANSWER = 0.2
"""A class name above an image."""

_GROUP = _NAMES + 2 * _SIDE + _GAP + 0.32
_COMPARED = 0.2 + _ANSWER + _GAP + _SIDE
"""A candidate's name, its answers and its heatmaps."""

_HEAT = mpl.colormaps["inferno"]
_STRONGEST = 0.8
"""Opacity of the hottest places; something of the image shows through."""

_DIMMED = 0.75
_LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in a pixel's gray level (ITU-R BT.601)."""

_LONGEST_LABEL = 13


def overlay(
    image: UInt8[np.ndarray, "h w c"], heatmap: Float32[np.ndarray, "cells_high cells_wide"]
) -> UInt8[np.ndarray, "h w 3"]:
    """The image in gray with the heatmap in color over it.

    The image loses its colors so that every color seen is the heatmap's; the hotter a place, the
    less of the image shows through.

    Args:
      image: of 1 or 3 channels.
      heatmap: 0 to 1; enlarged to the image's size by bilinear interpolation.
    """
    height, width = image.shape[:2]
    enlarged = Image.fromarray(heatmap).resize((width, height), Image.Resampling.BILINEAR)
    heat = np.clip(np.asarray(enlarged), 0.0, 1.0)[..., np.newaxis]
    gray = _DIMMED * (as_rgb(image) @ _LUMA)[..., np.newaxis]
    color = 255.0 * _HEAT(heat[..., 0])[..., :3]
    opacity = _STRONGEST * heat
    hot: UInt8[np.ndarray, "h w 3"] = np.rint((1.0 - opacity) * gray + opacity * color).astype(np.uint8)
    return hot


@in_house_style
def heatmaps_figure(
    images: UInt8[np.ndarray, "n h w c"],
    predictions: Predictions,
    explanations: Explanations,
    class_names: Sequence[str],
    title: str,
) -> Figure:
    """Right answers and the most confident mistakes, each image above the same with its heatmap.

    Args:
      images: those that were predicted. May be a memory map.
      predictions: of these images.
      explanations: of the same network on the same images.
    """
    is_right = predictions.right[explanations.rows]
    right = of_different_classes(predictions, explanations.rows[is_right], _COLUMNS)
    wrong = surest_first(predictions, explanations.rows[~is_right])[:_COLUMNS]
    groups = [(name, rows) for name, rows in (("Right answers", right), ("Mistakes", wrong)) if len(rows)]
    heatmaps = dict(zip(explanations.rows.tolist(), explanations.heatmaps, strict=True))
    figure, canvas = new_canvas(WIDE, _HEAD + _GROUP * len(groups))
    place_title(canvas, title)
    _draw_scale(canvas)
    for place, (name, rows) in enumerate(groups):
        top = _HEAD + _GROUP * place
        _name_row(canvas, name, top)
        for column, row in enumerate(rows.tolist()):
            _draw_answer(canvas, column, top + _NAMES, predictions, row, class_names)
            image = np.asarray(images[row])
            place_image(canvas, image, _left(column), top + _NAMES, _SIDE)
            below = top + _NAMES + _SIDE + _GAP
            place_image(canvas, overlay(image, heatmaps[row]), _left(column), below, _SIDE)
    return figure


@in_house_style
def compared_heatmaps_figure(
    images: UInt8[np.ndarray, "n h w c"],
    candidates: Mapping[str, tuple[Predictions, Explanations]],
    rows: Int64[np.ndarray, " rows"],
    class_names: Sequence[str],
    title: str,
) -> Figure:
    """The same images through the eyes of every candidate: a row of heatmaps for each.

    Args:
      images: those that were predicted. May be a memory map.
      candidates: by name, what each says of these images.
      rows: at most 8 images for which every candidate has a heatmap.
    """
    figure, canvas = new_canvas(WIDE, _HEAD + _ANSWER + _SIDE + _COMPARED * len(candidates))
    place_title(canvas, title)
    _draw_scale(canvas)
    names = class_labels(class_names, longest=_LONGEST_LABEL)
    labels = next(iter(candidates.values()))[0].labels
    for column, row in enumerate(rows.tolist()):
        _say(canvas, column, _HEAD + _ANSWER, names[labels[row]], INK)
        place_image(canvas, np.asarray(images[row]), _left(column), _HEAD + _ANSWER, _SIDE)
    for place, (name, (predictions, explanations)) in enumerate(candidates.items()):
        top = _HEAD + _ANSWER + _SIDE + _COMPARED * place
        _name_row(canvas, candidate_title(name), top + _GAP)
        for column, row in enumerate(rows.tolist()):
            heatmap = explanations.heatmaps[np.searchsorted(explanations.rows, row)]
            hot = overlay(np.asarray(images[row]), heatmap)
            place_image(canvas, hot, _left(column), top + _COMPARED - _SIDE, _SIDE)
            right = bool(predictions.right[row])
            said = judged(names[predictions.predicted[row]], right)
            _say(canvas, column, top + _COMPARED - _SIDE, said, RIGHT if right else WRONG)
    return figure


def _left(column: int) -> float:
    return _GAP + column * (_SIDE + _GAP)


def _say(canvas: Axes, column: int, top: float, text: str, color: str) -> None:
    """Write above the image whose upper edge is at `top`."""
    middle = _left(column) + _SIDE / 2
    canvas.text(middle, top - 0.04, text, ha="center", va="bottom", fontsize=8.5, color=color)


def _draw_answer(
    canvas: Axes, column: int, top: float, predictions: Predictions, row: int, class_names: Sequence[str]
) -> None:
    """The predicted class with its probability above the image, the actual class below the heatmap."""
    names = class_labels(class_names, longest=_LONGEST_LABEL)
    label, predicted = int(predictions.labels[row]), int(predictions.predicted[row])
    sure = percent(float(predictions.probabilities[row, predicted]), 0)
    right = label == predicted
    said = judged(names[predicted], right)
    _say(canvas, column, top, f"{said}\n{sure} sure", RIGHT if right else WRONG)
    if not right:
        below = top + 2 * _SIDE + _GAP + _ANSWER
        _say(canvas, column, below, f"actually {names[label]}", INK)


def _name_row(canvas: Axes, name: str, top: float) -> None:
    canvas.text(0.08, top, name, va="top", fontsize=9.5, color=MUTED)


def _draw_scale(canvas: Axes) -> None:
    """What the colors mean, in the upper right corner."""
    left, right, top, bottom = WIDE - 1.75, WIDE - 0.5, 0.13, 0.25
    colors = np.rint(255 * _HEAT(np.linspace(0, 1, 256))[np.newaxis, :, :3]).astype(np.uint8)
    place_image(canvas, colors, left, top, right - left, bottom - top)
    for place, text, side in ((left - 0.06, "no part", "right"), (right + 0.06, "most", "left")):
        canvas.text(place, (top + bottom) / 2, text, ha=side, va="center", fontsize=8.5, color=MUTED)
