"""What the data looks like: images per class, and the images themselves."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from pipeline.foundation.array_types import Int64, UInt8
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
    """Images per class, stacked by subset in the order of `counts`; of many classes the sizes alone."""
    size, total = len(class_names), np.sum(list(counts.values()), axis=0)
    named = size <= MOST_NAMED_CLASSES
    figure = new_figure(NARROW, 1.5 + 0.24 * size if named else 3.2)
    axes = figure.add_subplot()
    before = np.zeros(size, dtype=np.int64)
    largest_first = np.argsort(-total, kind="stable")
    for subset, images in counts.items():
        label, color = f"{subset} ({images.sum():,})", SUBSET_COLORS[subset]
        if named:
            bars = axes.barh(range(size), images, 0.72, before, color=color, label=label, edgecolor=PAPER)
            for bar in bars:
                bar.set(hatch=_HATCHES[subset], linewidth=0.5)
        else:
            heights, bottoms = images[largest_first], before[largest_first]
            axes.bar(np.arange(1, size + 1), heights, 1.0, bottoms, color=color, label=label)
        before = before + images
    if named:
        axes.set_yticks(range(size), class_labels(class_names))
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("images")
    else:
        axes.set(xlim=(0.5, size + 0.5), xlabel=f"the {size} classes, largest first", ylabel="images")
    axes.grid(axis="x" if named else "y")
    same = total.min() == total.max()
    title = f"Images per class: {total.min():,} to {total.max():,}"
    axes.set_title(f"Every class has {total.max():,} images" if same else title, pad=26)
    # In one row that ends with the axes: to the left there is room over the names of the classes.
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=len(counts),
        borderaxespad=0.2,
        handlelength=1.2,
        columnspacing=1.0,
    )
    return figure


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
