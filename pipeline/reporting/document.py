"""What a report consists of, whatever it is printed on: HTML today, other forms of the same content later.

Texts are plain: a renderer escapes them and decides how they look.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Paragraph:
    kind: ClassVar[str] = "paragraph"
    text: str


@dataclass(frozen=True)
class Finding:
    """A sentence or two that a hasty reader should not miss."""

    kind: ClassVar[str] = "finding"
    text: str


@dataclass(frozen=True)
class Heading:
    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Fact:
    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class Facts:
    """A few numbers, large."""

    kind: ClassVar[str] = "facts"
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Definitions:
    """Terms and what they mean."""

    kind: ClassVar[str] = "definitions"
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """The first column names the row.

    `numeric` says which columns are numbers, `strong` which rows stand out.
    """

    kind: ClassVar[str] = "table"
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    strong: frozenset[int] = frozenset()
    separated: frozenset[int] = frozenset()
    """Rows before which a line is drawn."""


@dataclass(frozen=True)
class Chart:
    """A figure: `name` is its file, `alt` says in words what it shows, `caption` how to read it.

    `pictorial` figures show images, whose colors must stay as they are also where the page is dark.
    """

    kind: ClassVar[str] = "chart"
    name: str
    figure: Figure
    alt: str
    caption: str
    pictorial: bool = False

    @property
    def inches(self) -> tuple[float, float]:
        width, height = self.figure.get_size_inches()
        return float(width), float(height)


@dataclass(frozen=True)
class Row:
    """Blocks that stand beside each other where there is room."""

    kind: ClassVar[str] = "row"
    blocks: tuple["Block", ...]


@dataclass(frozen=True)
class Stack:
    """Blocks below each other that keep together, for use in a row."""

    kind: ClassVar[str] = "stack"
    blocks: tuple["Block", ...]


@dataclass(frozen=True)
class Strip:
    """Images of one label side by side: uint8, (N, height, width, channels)."""

    label: str
    note: str
    images: np.ndarray


@dataclass(frozen=True)
class Strips:
    kind: ClassVar[str] = "strips"
    caption: str
    strips: tuple[Strip, ...]


@dataclass(frozen=True)
class Example:
    """One image, uint8 (height, width, channels), with the most probable classes, best first.

    `overlay` is the image with its heatmap over it, uint8 (height, width, 3); None where there is none.
    """

    name: str
    image: np.ndarray
    actual: str
    predicted: str
    probabilities: tuple[tuple[str, float], ...]
    actual_probability: float
    overlay: np.ndarray | None = None

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

    A `filterable` one is long: a screen lets its reader choose classes and the order, paper shows the
    first ones. `name` tells it apart from the document's other galleries.
    """

    kind: ClassVar[str] = "gallery"
    name: str
    caption: str
    examples: tuple[Example, ...]
    filterable: bool = False

    @property
    def actual_classes(self) -> tuple[str, ...]:
        """The classes of the images, each once, in alphabetical order."""
        return tuple(sorted({example.actual for example in self.examples}))

    @property
    def predicted_classes(self) -> tuple[str, ...]:
        """The classes that were predicted, each once, in alphabetical order."""
        return tuple(sorted({example.predicted for example in self.examples}))


@dataclass(frozen=True)
class Details:
    """What only some readers want to see: folded away on a screen, printed on paper."""

    kind: ClassVar[str] = "details"
    summary: str
    blocks: tuple["Block", ...]


Block = (
    Paragraph
    | Finding
    | Heading
    | Facts
    | Definitions
    | Table
    | Chart
    | Row
    | Stack
    | Strips
    | Gallery
    | Details
)


@dataclass(frozen=True)
class Section:
    anchor: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """The report, and further figures that stand beside it as files only."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    extra_charts: tuple[Chart, ...]

    def charts(self) -> list[Chart]:
        """Every figure, in the order of the text, then the further ones."""
        found = [chart for section in self.sections for chart in _charts_in(section.blocks)]
        return [*found, *self.extra_charts]


def _charts_in(blocks: tuple[Block, ...]) -> Iterator[Chart]:
    for block in blocks:
        if isinstance(block, Chart):
            yield block
        elif isinstance(block, (Row, Stack, Details)):
            yield from _charts_in(block.blocks)
