"""The house style of every figure, and how a figure becomes a file.

Colors are those of Okabe and Ito (2008), "Color Universal Design", which people with any of the
common color-vision deficiencies can tell apart; where colors tell things apart, shapes or dashes
do so as well. Only matplotlib's object interface is used: no pyplot, no state that outlives a call.
"""

import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from pipeline.foundation.array_types import UInt8
from pipeline.foundation.files import atomic_path
from pipeline.foundation.texts import shortened

BLUE, VERMILLION, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
RIGHT, WRONG = "#00694d", "#a84300"
"""Green and vermillion dark enough for small texts."""

INK, MUTED, GRID, PAPER = "#1a1a1a", "#5f6368", "#dcdcdc", "#ffffff"

CANDIDATE_COLORS = {"baseline": BLUE, "transfer": VERMILLION, "tuned": GREEN}
CANDIDATE_MARKERS = {"baseline": "o", "transfer": "s", "tuned": "^"}
SUBSET_COLORS = {"train": BLUE, "validation": VERMILLION, "test": GREEN}

CLASS_COLORS = (BLUE, "#e69f00", GREEN, VERMILLION, "#56b4e9", PURPLE, "#882255")
"""Of Okabe and Ito's colors those that show on white, and Tol's wine in place of black, which marks
mistakes."""

CLASS_MARKERS = ("o", "s")
MOST_MARKED_CLASSES = len(CLASS_COLORS) * len(CLASS_MARKERS)
"""So many classes can be told apart by color and marker."""

NARROW = 4.8
"""Inches: a figure that stands beside another on a desk."""

WIDE = 9.2
"""Inches: a figure as broad as the text on a desk."""

THIRD = 3.45
"""Inches: a figure that stands beside two others on a desk; it fills a phone's width."""

DOTS_PER_INCH = 170
LONGEST_LABEL = 22
"""Characters; longer class names are shortened inside figures (the page's tables keep them whole)."""

MOST_NAMED_CLASSES = 30
"""With more classes their names do not fit beside the bars."""

_FONT = "DejaVu Sans"  # comes with matplotlib, so that every machine has it

_STYLE: dict[str, object] = {
    "font.family": _FONT,
    "font.size": 10.0,
    # Class names may hold dollar signs; they are not formulas.
    "text.parse_math": False,
    "text.color": INK,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.0,
}

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def in_house_style(draw: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Run a drawing function under the house style, whatever a person's own matplotlibrc says."""

    @functools.wraps(draw)
    def styled(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        with matplotlib.style.context(["default", _STYLE]):
            return draw(*args, **kwargs)

    return styled


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches; its parts are laid out so that no label is cut."""
    return _new_figure(width, height, "constrained")


def _new_figure(width: float, height: float, layout: Literal["constrained"] | None) -> Figure:
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def new_canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure with one plane to place images and texts on, in inches from its upper left corner.

    Hundreds of small images are drawn ten times faster so than with axes for each.
    """
    figure = _new_figure(width, height, None)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0))
    return figure, axes


def place_image(
    canvas: Axes,
    image: UInt8[np.ndarray, "rows columns c"],
    left: float,
    top: float,
    width: float,
    height: float | None = None,
) -> None:
    """Draw an image in so many inches; without a height as a square."""
    limits = canvas.get_xlim(), canvas.get_ylim()
    canvas.imshow(
        as_rgb(image),
        extent=(left, left + width, top + (height or width), top),
        aspect="auto",
        interpolation="nearest",
    )
    canvas.set(xlim=limits[0], ylim=limits[1])  # which imshow has set to those of the image


def place_title(canvas: Axes, title: str) -> None:
    canvas.text(0.08, 0.1, title, va="top", fontsize=10.5, fontweight="bold")


@in_house_style
def figure_png(figure: Figure) -> bytes:
    """The figure as PNG bytes: the same figure gives the same bytes, without date or version."""
    settle_layout(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def settle_layout(figure: Figure) -> None:
    """Work out once where everything stands.

    Left to matplotlib this happens each time that the figure is saved, in a drawing of its own, and moves
    things by a hair.
    """
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine(None)


def save_figure(figure: Figure, path: Path) -> None:
    """Write the figure as a PNG file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(figure_png(figure))


def candidate_color(candidate: str) -> str:
    return CANDIDATE_COLORS.get(candidate, MUTED)


def candidate_marker(candidate: str) -> str:
    return CANDIDATE_MARKERS.get(candidate, "D")


def class_color(place: int) -> str:
    return CLASS_COLORS[place % len(CLASS_COLORS)]


def class_marker(place: int) -> str:
    """Another one for each round through the colors."""
    return CLASS_MARKERS[place // len(CLASS_COLORS) % len(CLASS_MARKERS)]


def judged(name: str, right: bool) -> str:
    """A predicted class with a mark that does not need its color."""
    return f"{'✓' if right else '✗'} {name}"


def as_rgb(image: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    """An image of one channel or three with three channels."""
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image


def class_labels(class_names: Sequence[str], longest: int = LONGEST_LABEL) -> list[str]:
    """Class names as a figure can show them.

    Long names are shortened in the middle (their ends often differ). Characters that the font lacks become
    their Unicode numbers, as in the PDF.
    """
    font = get_font(findfont(FontProperties(family=_FONT)))
    drawable = font.get_charmap()

    def drawn(character: str) -> str:
        return character if ord(character) in drawable else f"<U+{ord(character):04X}>"

    return [shortened("".join(map(drawn, name)), longest, cut="middle") for name in class_names]


def percent_axis(axes: Axes, which: str) -> None:
    """Label the ticks of axis `which` ("x" or "y"), whose values are shares of 1, as percentages."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(lambda value, _position: f"{100 * value:g} %")
