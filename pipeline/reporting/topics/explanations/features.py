"""What a network makes of images on the way: filters, feature maps, and its last features on a plane."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.foundation.array_types import Bool, Float32, Float64, Int64, UInt8
from pipeline.reporting.house_style import (
    INK,
    MOST_MARKED_CLASSES,
    MUTED,
    NARROW,
    PAPER,
    WIDE,
    class_color,
    class_labels,
    class_marker,
    in_house_style,
    new_canvas,
    new_figure,
    place_image,
    place_title,
)

_GAP = 0.06
"""Inches, as are the other lengths."""

_HEAD = 0.4
_LAYER_NAME = 0.24
_MAPS_PER_LAYER = 8
_FILTERS_PER_ROW = 16
_MOST_FILTERS = 64
_HIGHLIGHTED = 7
"""With more classes than can be told apart, so many are drawn in color and the others in gray."""

_LONGEST_NAME = 14
"""Characters of a class name on a map, and in the legend below it."""

_LETTER_WIDTH, _LINE_HEIGHT = 0.022, 0.042
"""Of the names of classes on a map, shares of its width and height."""

_LIGHT_GRAY = "#c8c8c8"


@in_house_style
def feature_maps_figure(
    image: UInt8[np.ndarray, "h w c"], maps: Mapping[str, Float32[np.ndarray, "_ _ _"]], title: str
) -> Figure:
    """An image and a row of feature maps for each layer, each map scaled to its own range.

    Args:
      image: of 1 or 3 channels.
      maps: by layer, the first one first: (height, width, channels), the strongest channel first.
    """
    side = (WIDE - _GAP) / (_MAPS_PER_LAYER + 1) - _GAP
    step = side + _LAYER_NAME
    figure, canvas = new_canvas(WIDE, _HEAD + step * len(maps) + _GAP)
    place_title(canvas, title)
    place_image(canvas, image, _GAP, _HEAD + _LAYER_NAME, side)
    for place, (layer, channels) in enumerate(maps.items()):
        top = _HEAD + step * place
        height, width = channels.shape[:2]
        name = f"{layer} ({height}×{width})"
        canvas.text(2 * _GAP + side, top + _LAYER_NAME - 0.05, name, va="bottom", fontsize=9.0, color=MUTED)
        for column, channel in enumerate(np.moveaxis(channels, 2, 0)[:_MAPS_PER_LAYER], start=1):
            place_image(canvas, _gray(channel), _GAP + column * (side + _GAP), top + _LAYER_NAME, side)
    return figure


@in_house_style
def filters_figure(filters: Float32[np.ndarray, "h w c f"], title: str) -> Figure:
    """The kernels of the first convolution as small pictures, mid-gray where a weight is zero.

    Kernels over one or three channels are drawn in the image's own colors, others by their mean over the
    channels.
    """
    shown = np.moveaxis(filters, 3, 0)[:_MOST_FILTERS]
    if shown.shape[3] not in (1, 3):
        shown = shown.mean(axis=3, keepdims=True)
    strongest = np.abs(shown).max(axis=(1, 2, 3), keepdims=True)
    pictures = np.rint(127.5 * (1.0 + shown / np.where(strongest > 0, strongest, 1.0))).astype(np.uint8)
    side = (WIDE - _GAP) / _FILTERS_PER_ROW - _GAP
    rows = math.ceil(len(pictures) / _FILTERS_PER_ROW)
    figure, canvas = new_canvas(WIDE, _HEAD + rows * (side + _GAP))
    place_title(canvas, title)
    for place, picture in enumerate(pictures):
        row, column = divmod(place, _FILTERS_PER_ROW)
        place_image(canvas, picture, _GAP + column * (side + _GAP), _HEAD + row * (side + _GAP), side)
    return figure


def _gray(channel: Float32[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 1"]:
    """A feature map stretched to its own range."""
    lowest, highest = float(channel.min()), float(channel.max())
    span = highest - lowest if highest > lowest else 1.0
    return np.rint(255 * (channel - lowest) / span).astype(np.uint8)[..., np.newaxis]


@in_house_style
def feature_space_figure(
    points: Float32[np.ndarray, "q 2"],
    labels: Int64[np.ndarray, " q"],
    right: Bool[np.ndarray, " q"],
    class_names: Sequence[str],
    title: str,
    axis_labels: tuple[str, str],
) -> Figure:
    """Images as points, in the color of their actual class; mistakes are crossed.

    With more than 14 classes the seven with most mistakes have colors and names, all others are gray.

    Args:
      points: of the images.
      labels: actual classes.
      right: whether the network is right.
    """
    figure = new_figure(NARROW, 5.0)
    axes = figure.add_subplot()
    named = highlighted_classes(labels, right, len(class_names))
    others = ~np.isin(labels, named)
    if others.any():
        axes.plot(*points[others].T, ".", color=_LIGHT_GRAY, markersize=3.0, gid="other classes")
    for place, label in enumerate(named):
        axes.plot(
            *points[labels == label].T,
            linestyle="",
            marker=class_marker(place),
            color=class_color(place),
            markersize=3.6,
            markeredgewidth=0.0,
            alpha=0.75,
            gid=f"class {label}",
        )
    axes.plot(
        *points[~right].T,
        "x",
        color=INK,
        markersize=3.6,
        markeredgewidth=0.7,
        gid="mistakes",
    )
    _name_clusters(axes, points, labels, named, class_names)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(axis_labels[0])
    axes.set_ylabel(axis_labels[1])
    axes.spines[:].set_visible(True)
    axes.set_title(title, wrap=True)
    _legend_below(figure, named, class_names, bool(others.any()), bool((~right).any()))
    return figure


def highlighted_classes(
    labels: Int64[np.ndarray, " q"], right: Bool[np.ndarray, " q"], count: int
) -> Int64[np.ndarray, " named"]:
    """The classes that are drawn in colors, rising: all, or those with most mistakes among `count`."""
    if count <= MOST_MARKED_CLASSES:
        return np.unique(labels)
    present = np.unique(labels)
    mistakes = np.bincount(labels[~right], minlength=count)[present]
    return np.sort(present[np.argsort(-mistakes, kind="stable")[:_HIGHLIGHTED]])


def _name_clusters(
    axes: Axes,
    points: Float32[np.ndarray, "q 2"],
    labels: Int64[np.ndarray, " q"],
    named: Int64[np.ndarray, " named"],
    class_names: Sequence[str],
) -> None:
    """Write each class's name at the median of its points, or above a name that stands there already."""
    names = [class_labels(class_names, longest=_LONGEST_NAME)[label] for label in named]
    medians = np.array([np.median(points[labels == label], axis=0) for label in named])
    axes.autoscale_view()  # else the limits are not those of the points before the figure is drawn
    to_share = axes.transData + axes.transAxes.inverted()
    widths = np.array([_LETTER_WIDTH * len(name) for name in names])
    centers = to_share.transform(medians)
    centers[:, 0] = np.clip(centers[:, 0], widths / 2, 1 - widths / 2)
    places = _without_overlap(centers, widths)
    for (x, y), name in zip(places, names, strict=True):
        axes.text(
            x,
            y,
            name,
            transform=axes.transAxes,
            ha="center",
            va="center",
            fontsize=9.0,
            fontweight="bold",
            path_effects=[patheffects.withStroke(linewidth=2.8, foreground=PAPER)],
        )


def _without_overlap(
    centers: Float64[np.ndarray, "n 2"], widths: Float64[np.ndarray, " n"]
) -> Float64[np.ndarray, "n 2"]:
    """Centers of texts, in shares of the axes, each moved up until it is clear of those below."""
    moved = centers.copy()
    order = np.argsort(centers[:, 1], kind="stable")
    for place, index in enumerate(order):
        for below in sorted(order[:place], key=lambda other: moved[other, 1]):
            near = abs(moved[index, 0] - moved[below, 0]) < (widths[index] + widths[below]) / 2
            if near and abs(moved[index, 1] - moved[below, 1]) < _LINE_HEIGHT:
                moved[index, 1] = moved[below, 1] + _LINE_HEIGHT
    return moved


def _legend_below(
    figure: Figure,
    named: Int64[np.ndarray, " named"],
    class_names: Sequence[str],
    others: bool,
    mistakes: bool,
) -> None:
    names = class_labels(class_names, longest=_LONGEST_NAME)
    handles = [
        Line2D([], [], linestyle="", marker=class_marker(i), color=class_color(i), label=names[label])
        for i, label in enumerate(named)
    ]
    if others:
        handles.append(Line2D([], [], linestyle="", marker=".", color=_LIGHT_GRAY, label="other classes"))
    if mistakes:
        handles.append(Line2D([], [], linestyle="", marker="x", color=INK, label="mistake"))
    figure.legend(
        handles=handles, loc="outside lower left", ncols=4, fontsize=8.0, handletextpad=0.0, columnspacing=0.6
    )
