"""What a report consists of. Page, PDF and slides are made from the same document, each by one renderer.

Texts are plain: a renderer escapes them and decides how they look.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from pipeline.foundation.array_types import UInt8
from pipeline.scoring.intervals import Interval


@dataclass(frozen=True)
class Paragraph:
    """Of a slide, a `spoken` one is told by the speaker and does not stand on it."""

    text: str
    spoken: bool = False


@dataclass(frozen=True)
class Finding:
    """A sentence or two that a hasty reader should not miss."""

    text: str


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Fact:
    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class Facts:
    """A few numbers, large."""

    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Definitions:
    """Terms and what they mean."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Commands:
    """Commands to type, and what they do."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """The first column names the row.

    Attributes:
      text_columns: which columns are not numbers, from 0.
      strong: rows that stand out.
      separated: rows before which a line is drawn.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: frozenset[int] = frozenset({0})
    strong: frozenset[int] = frozenset()
    separated: frozenset[int] = frozenset()

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Whether each column holds numbers."""
        return tuple(column not in self.text_columns for column in range(len(self.columns)))


@dataclass(frozen=True)
class Series:
    """Values by category; None where there is none. `color` is "#rrggbb"."""

    name: str
    values: tuple[float | None, ...]
    color: str


@dataclass(frozen=True, kw_only=True)
class ChartData:
    """A chart that can be edited; `axis_titles` are those of categories and values, empty for none."""

    categories: tuple[str, ...]
    series: tuple[Series, ...]
    axis_titles: tuple[str, str]
    alt: str


@dataclass(frozen=True, kw_only=True)
class Bars(ChartData):
    """Horizontal bars from zero, stacked where there are several series; the first category on top.

    `shares` says that the values are shares of 1.
    """

    shares: bool = False


@dataclass(frozen=True, kw_only=True)
class Lines(ChartData):
    """Shares of 1 over steps."""


@dataclass(frozen=True, kw_only=True)
class Dots(ChartData):
    """Shares of 1 in one series, each in its own color and with its interval where there is one."""

    colors: tuple[str, ...]
    intervals: tuple[Interval, ...] | None = None


@dataclass(frozen=True)
class Chart:
    """A figure: `name` is its file, `alt` says in words what it shows, `caption` how to read it.

    `pictorial` figures show images, whose colors must stay as they are also where the page is dark.
    `data` is what of it slides show, as a chart that can be edited there; without it they show the figure.
    """

    name: str
    figure: Figure
    alt: str
    caption: str = ""
    pictorial: bool = False
    data: Bars | Lines | Dots | None = None

    @property
    def inches(self) -> tuple[float, float]:
        width, height = self.figure.get_size_inches()
        return float(width), float(height)


@dataclass(frozen=True)
class Strip:
    """Images of one label side by side."""

    label: str
    note: str
    images: UInt8[np.ndarray, "n h w c"]


@dataclass(frozen=True)
class Strips:
    caption: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True)
class Example:
    """One image with the most probable classes, best first.

    `overlay` is the image with its heatmap over it; None where there is none.
    """

    name: str
    image: UInt8[np.ndarray, "h w c"]
    actual: str
    predicted: str
    probabilities: tuple[tuple[str, float], ...]
    actual_probability: float
    overlay: UInt8[np.ndarray, "h w 3"] | None = None

    @property
    def confidence(self) -> float:
        """The probability of the predicted class, a share of 1."""
        return self.probabilities[0][1]

    @property
    def right(self) -> bool:
        return self.actual == self.predicted

    @property
    def shown_probabilities(self) -> tuple[tuple[str, float], ...]:
        """The most probable classes, and the actual one in any case."""
        if any(name == self.actual for name, _ in self.probabilities):
            return self.probabilities
        return (*self.probabilities, (self.actual, self.actual_probability))


@dataclass(frozen=True)
class Gallery:
    """Images with what a network says about them.

    A `filterable` one is long: a screen lets its reader choose classes and the order, paper and slides show
    the first ones. `name` tells it apart from the document's other galleries.
    """

    name: str
    caption: str
    examples: tuple[Example, ...]
    filterable: bool = False


@dataclass(frozen=True)
class Row:
    """Blocks that stand beside each other where there is room."""

    blocks: tuple["Block", ...]


@dataclass(frozen=True)
class Stack:
    """Blocks below each other that keep together, for use in a row."""

    blocks: tuple["Block", ...]


@dataclass(frozen=True)
class Slide:
    """Blocks below each other that also make a slide.

    Attributes:
      name: its place among the slides, see slides/rendering.py.
      blocks: findings, paragraphs and definitions become the slide's text, and what the speaker says; of
        charts, tables and galleries the first stands beside the text. What is folded away is left out.
      notes: what the speaker says before that.
      visual: what stands beside the text instead.
    """

    name: str
    title: str
    blocks: tuple["Block", ...]
    notes: str = ""
    visual: Table | Strips | Gallery | None = None


@dataclass(frozen=True)
class Details:
    """What only some readers want to see: folded away on a screen, in the appendix on paper."""

    summary: str
    blocks: tuple["Block", ...]


Block = (
    Paragraph
    | Finding
    | Heading
    | Facts
    | Definitions
    | Commands
    | Table
    | Chart
    | Row
    | Stack
    | Slide
    | Strips
    | Gallery
    | Details
)


@dataclass(frozen=True)
class ReportSection:
    anchor: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """The report, and further figures that stand beside it as files only."""

    title: str
    subtitle: str
    sections: tuple[ReportSection, ...]
    extra_charts: tuple[Chart, ...] = ()

    def blocks(self) -> Iterator[Block]:
        """Every block in the order of the text, each before those that it holds."""
        for section in self.sections:
            yield from nested_blocks(section.blocks)

    def charts(self) -> list[Chart]:
        """Every figure in the order of the text, then the further ones."""
        return [*(block for block in self.blocks() if isinstance(block, Chart)), *self.extra_charts]


def nested_blocks(blocks: tuple[Block, ...], folded: bool = True) -> Iterator[Block]:
    """The blocks, each followed by those that it holds; `folded` says whether details are opened."""
    for block in blocks:
        yield block
        if isinstance(block, Row | Stack | Slide) or (folded and isinstance(block, Details)):
            yield from nested_blocks(block.blocks, folded)


def paragraphs(*texts: str) -> tuple[Paragraph, ...]:
    """A paragraph for each text that is not empty."""
    return tuple(Paragraph(text) for text in texts if text)
