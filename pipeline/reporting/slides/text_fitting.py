"""Text that fits its box, on every machine.

Nobody knows which fonts the reader's computer has. Text is measured in DejaVu Sans, which is wider
than the usual ones, so that what fits here fits there.
"""

import functools
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from PIL import ImageFont

from pipeline.foundation.texts import shortened

_FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
_LINE_HEIGHT = 1.2
_PARAGRAPH_GAP = 0.5
"""Of the size of the type, after every paragraph."""

_MEASURED_SIZE = 100
_SQUARE = ("F", "W")
"""Widths of the Unicode standard: full and wide."""


def fitted(
    paragraphs: Sequence[str], width: float, height: float, largest: int, smallest: int
) -> tuple[int, list[str]]:
    """The largest size of type in which the paragraphs fit into a box of `width` times `height` points.

    Where even the smallest is too large, the text ends in an ellipsis.

    Returns:
      The size in points, and the paragraphs.
    """
    for size in range(largest, smallest - 1, -1):
        if text_height(paragraphs, width, size) <= height:
            return size, list(paragraphs)
    return smallest, _cut(paragraphs, width, height, smallest)


def text_height(paragraphs: Sequence[str], width: float, size: float) -> float:
    """Points that the paragraphs take at that size."""
    lines = sum(_lines(text, width / size) for text in paragraphs)
    return size * (_LINE_HEIGHT * lines + _PARAGRAPH_GAP * len(paragraphs))


def text_width(text: str, size: float) -> float:
    """Points that the text takes on one line."""
    return size * _width(text)


def fitted_name(name: str, width: float, size: float) -> str:
    """A name as much of which as fits on one line of `width` points, its beginning and its end."""
    longest = len(name)
    while longest > 1 and text_width(shortened(name, longest, cut="middle"), size) > width:
        longest -= 1
    return shortened(name, longest, cut="middle")


def _cut(paragraphs: Sequence[str], width: float, height: float, size: int) -> list[str]:
    """As many whole words as fit."""
    kept: list[str] = []
    for text in paragraphs:
        if text_height([*kept, text], width, size) <= height:
            kept.append(text)
            continue
        words = text.split(" ")
        while words and text_height([*kept, f"{' '.join(words)}…"], width, size) > height:
            words.pop()
        return [*kept, f"{' '.join(words)}…"] if words else kept
    return kept


def _lines(text: str, width: float) -> int:
    """Lines of a paragraph in a box `width` times as wide as the type is high."""
    lines, used = 1, 0.0
    for word in text.split(" "):
        needed = _width(word)
        if used and used + _width(" ") + needed > width:
            lines, used = lines + 1, 0.0
        used += needed + (_width(" ") if used else 0.0)
        while used > width:  # a word longer than a line is broken by the program that shows the slide
            lines, used = lines + 1, used - width
    return lines


@functools.lru_cache(maxsize=4096)
def _width(word: str) -> float:
    """Relative to the size of the type. DejaVu Sans has no East Asian characters; they are square."""
    square = sum(unicodedata.east_asian_width(character) in _SQUARE for character in word)
    others = "".join(c for c in word if unicodedata.east_asian_width(c) not in _SQUARE)
    return square + _font().getlength(others) / _MEASURED_SIZE


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    # The simple layout, as the other one depends on a library that not every machine has.
    return ImageFont.truetype(_FONT, _MEASURED_SIZE, layout_engine=ImageFont.Layout.BASIC)
