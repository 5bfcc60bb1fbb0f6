"""Texts that have to fit: into a line, a figure, or a column of a database."""

from collections.abc import Sequence
from typing import Literal


def first_few(items: Sequence[str], most: int = 5, separator: str = ", ") -> str:
    """At most `most` of the items, and how many more there are."""
    more = len(items) - most
    return separator.join(items[:most]) + (f" and {more} more" if more > 0 else "")


def shortened(text: str, longest: int, cut: Literal["start", "middle", "end"] = "end") -> str:
    """The text; where it has more than `longest` characters, with an ellipsis for a part of it."""
    if len(text) <= longest:
        return text
    kept = {"start": longest - 1, "middle": longest // 3, "end": 0}[cut]  # of its end
    start, end = text[: longest - 1 - kept], text[len(text) - kept :]
    return f"{start.rstrip()}…{end.lstrip()}" if cut == "middle" else f"{start}…{end}"


def one_line(text: str, longest: int) -> str:
    """Its beginning, on one line."""
    return shortened(" ".join(text.split()), longest)
