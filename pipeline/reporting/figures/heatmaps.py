"""Images with the places that spoke for the predicted class."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from pipeline.reporting.figures.style import (
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


def overlay(image: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """The image in gray with the heatmap in color over it: uint8, (height, width, 3).

    The image loses its colors so that every color seen is the heatmap's; the hotter a place, the
    less of the image shows through.

    Args:
      image: uint8, (height, width, 1 or 3).
      heatmap: float32, (h, w), 0 to 1; enlarged to the image's size by bilinear interpolation.
    """
    height, width = image.shape[:2]
    enlarged = Image.fromarray(heatmap.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    heat = np.clip(np.asarray(enlarged), 0.0, 1.0)[..., np.newaxis]
    gray = _DIMMED * (as_rgb(image) @ _LUMA)[..., np.newaxis]
    color = 255.0 * _HEAT(heat[..., 0])[..., :3]
    opacity = _STRONGEST * heat
    return np.rint((1.0 - opacity) * gray + opacity * color).astype(np.uint8)


@in_house_style
def heatmaps_figure(
    images: np.ndarray,
    predictions: Predictions,
    explanations: Explanations,
    class_names: Sequence[str],
    title: str,
) -> Figure:
    """Right answers and the most confident mistakes, each image above the same with its heatmap.

    Args:
      images: uint8, (N, height, width, 1 or 3); those that were predicted. May be a memory map.
      predictions: of these images.
      explanations: of the same network on the same images.
    """
    right, wrong = shown_rows(predictions, explanations.rows, _COLUMNS)
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
    images: np.ndarray,
    candidates: Mapping[str, tuple[Predictions, Explanations]],
    rows: np.ndarray,
    class_names: Sequence[str],
    title: str,
) -> Figure:
    """The same images through the eyes of every candidate: a row of heatmaps for each.

    Args:
      images: uint8, (N, height, width, 1 or 3); those that were predicted. May be a memory map.
      candidates: by name, what each says of these images.
      rows: int64, at most 8; images of which every candidate has a heatmap.
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


def shown_rows(predictions: Predictions, rows: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Of `rows`, right answers of as many classes as possible, by label, and mistakes, surest first.

    Args:
      rows: int64, (M,); rows of `predictions`, ascending.

    Returns:
      Two arrays, int64, of at most `most` rows each.
    """
    right = rows[predictions.right[rows]]
    labels = predictions.labels[right]
    rounds = np.array([int((labels[:place] == label).sum()) for place, label in enumerate(labels)], dtype=int)
    first = right[np.argsort(rounds, kind="stable")][:most]
    wrong = rows[~predictions.right[rows]]
    confidence = predictions.probabilities[wrong].max(axis=1, initial=0.0)
    return (
        first[np.argsort(predictions.labels[first], kind="stable")],
        wrong[np.argsort(-confidence, kind="stable")][:most],
    )


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
