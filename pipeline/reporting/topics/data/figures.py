"""What the data looks like: images per class, and the images themselves."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int64, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.reporting.house_style import (
    MOST_NAMED_CLASSES,
    NARROW,
    PAPER,
    SUBSET_COLORS,
    class_labels,
    in_house_style,
    new_figure,
)

_HATCHES = {"train": "", "validation": "///", "test": "..."}


@in_house_style
def class_distribution_figure(
    counts: Mapping[str, Int64[np.ndarray, " k"]], class_names: Sequence[str]
) -> Figure:
    """Images per class, stacked by subset in the order of `counts`."""
    count = len(class_names)
    total = np.sum(list(counts.values()), axis=0)
    title = f"Images per class: {total.min():,} to {total.max():,}"
    if total.min() == total.max():
        title = f"Every class has {total.max():,} images"
    if count > MOST_NAMED_CLASSES:
        return _many_classes(counts, total, title)
    figure = new_figure(NARROW, 1.5 + 0.24 * count)
    axes = figure.add_subplot()
    before = np.zeros(count, dtype=np.int64)
    for subset, images in counts.items():
        axes.barh(
            range(count),
            images,
            left=before,
            height=0.72,
            color=SUBSET_COLORS[subset],
            hatch=_HATCHES[subset],
            edgecolor=PAPER,
            linewidth=0.5,
            label=f"{subset} ({images.sum():,})",
        )
        before = before + images
    axes.set_yticks(range(count), class_labels(class_names))
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("images")
    axes.grid(axis="x")
    axes.set_title(title, pad=26)
    _legend_above(axes, len(counts))
    return figure


def _many_classes(
    counts: Mapping[str, Int64[np.ndarray, " k"]], total: Int64[np.ndarray, " k"], title: str
) -> Figure:
    figure = new_figure(NARROW, 3.2)
    axes = figure.add_subplot()
    order = np.argsort(-total, kind="stable")
    before = np.zeros(len(total), dtype=np.int64)
    for subset, images in counts.items():
        axes.bar(
            np.arange(1, len(total) + 1),
            images[order],
            bottom=before,
            width=1.0,
            color=SUBSET_COLORS[subset],
            label=f"{subset} ({images.sum():,})",
        )
        before = before + images[order]
    axes.set_xlim(0.5, len(total) + 0.5)
    axes.set_xlabel(f"the {len(total)} classes, largest first")
    axes.set_ylabel("images")
    axes.grid(axis="y")
    axes.set_title(title, pad=26)
    _legend_above(axes, len(counts))
    return figure


def _legend_above(axes: Axes, entries: int) -> None:
    """In one row that ends with the axes: to the left there is room over the names of the classes."""
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=entries,
        borderaxespad=0.2,
        handlelength=1.2,
        columnspacing=1.0,
    )


@in_house_style
def image_rows_figure(rows: Sequence[tuple[str, UInt8[np.ndarray, "_ h w c"]]], title: str) -> Figure:
    """Images in rows, each row with its label."""
    mosaic = mosaic_of([images for _, images in rows])
    height, width = mosaic.shape[:2]
    step = height / len(rows)
    figure_height = min(NARROW * 1.3 * height / width, 14.0) + 0.5
    figure = new_figure(NARROW * 1.3, figure_height)
    axes = figure.add_subplot()
    axes.imshow(mosaic, interpolation="nearest", resample=False)
    axes.set_yticks((np.arange(len(rows)) + 0.5) * step - 0.5, class_labels([label for label, _ in rows]))
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title)
    return figure


def mosaic_of(
    rows: Sequence[UInt8[np.ndarray, "_ h w c"]], gap: int = 1
) -> UInt8[np.ndarray, "height width 3"]:
    """Rows of images as one picture, with white gaps of `gap` pixels and at the ends of shorter rows."""
    longest = max(len(images) for images in rows)
    _, height, width, _ = rows[0].shape
    canvas = np.full(
        (len(rows) * (height + gap) - gap, longest * (width + gap) - gap, 3), 255, dtype=np.uint8
    )
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            top, left = row * (height + gap), column * (width + gap)
            canvas[top : top + height, left : left + width] = image
    return canvas
