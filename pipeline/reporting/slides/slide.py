"""What a slide consists of, before anything is drawn."""

from dataclasses import dataclass

import numpy as np

PERCENT, WHOLE_PERCENT, WHOLE = "0.0 %", "0 %", "#,##0"
"""Number formats, as office programs write them; those with a percent sign multiply by 100."""


@dataclass(frozen=True)
class Picture:
    """A figure as PNG bytes; `alt` says in words what it shows."""

    png: bytes
    alt: str


@dataclass(frozen=True)
class Tile:
    """Images that belong together, uint8 (height, width, 1 or 3) each, with a line or two below."""

    images: tuple[np.ndarray, ...]
    label: str
    note: str
    alt: str


@dataclass(frozen=True)
class Tiles:
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Series:
    """Values by category; None where there is none. `color` is "#rrggbb"."""

    name: str
    values: tuple[float | None, ...]
    color: str


@dataclass(frozen=True)
class Bars:
    """Horizontal bars from zero, stacked where there are several series; the first category on top.

    `number_format` is one of those above.
    """

    categories: tuple[str, ...]
    series: tuple[Series, ...]
    number_format: str
    axis_title: str
    alt: str


@dataclass(frozen=True)
class Lines:
    """Shares of 1 over steps."""

    categories: tuple[str, ...]
    series: tuple[Series, ...]
    axis_titles: tuple[str, str]
    alt: str


@dataclass(frozen=True)
class Dots:
    """Shares of 1, one per category, with their intervals where they have some.

    The axis need not begin at zero. Without a title for the categories, the first of `axis_titles` is empty.
    """

    categories: tuple[str, ...]
    name: str
    values: tuple[float, ...]
    colors: tuple[str, ...]
    intervals: tuple[tuple[float, float], ...] | None
    axis_titles: tuple[str, str]
    alt: str


@dataclass(frozen=True)
class Grid:
    """A table; the first row holds the titles of the columns.

    `strong` are the rows that stand out, counted without the titles.
    """

    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    strong: frozenset[int]
    alt: str


Visual = Picture | Tiles | Bars | Lines | Dots | Grid


@dataclass(frozen=True)
class Slide:
    """A title, what is said beside the visual, and what the speaker says in whole sentences.

    Without a visual the texts take the whole width. `commands` stand below them, with what they do.
    """

    title: str
    texts: tuple[str, ...]
    notes: str
    visual: Visual | None = None
    commands: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Deck:
    title: str
    subtitle: str
    notes: str
    slides: tuple[Slide, ...]
