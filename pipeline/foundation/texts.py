"""Texts that have to fit: into a line, a figure, or a column of a database."""

import unicodedata
from collections.abc import Sequence
from typing import Literal

_LONGEST_NAME = 200


def first_few(items: Sequence[str], most: int = 5, separator: str = ", ") -> str:
    """At most `most` of the items, on one line, and how many more there are."""
    more = len(items) - most
    return separator.join(map(shown, items[:most])) + (f" and {more} more" if more > 0 else "")


def shown(name: str) -> str:
    """The name of a file or class as a part of a line: without line ends, and not longer than a few lines."""
    return shortened(name.replace("\n", "\\n"), _LONGEST_NAME, "middle")


def shortened(text: str, longest: int, cut: Literal["start", "middle", "end"] = "end") -> str:
    """The text; where it has more than `longest` characters, with an ellipsis for a part of it."""
    if len(text) <= longest:
        return text
    kept = {"start": longest - 1, "middle": longest // 3, "end": 0}[cut]  # of its end
    start, end = text[: longest - 1 - kept], text[len(text) - kept :]
    return f"{start.rstrip()}…{end.lstrip()}" if cut == "middle" else f"{start}…{end}"


def printable(text: str) -> str:
    """The text with escapes for what would do something to a terminal instead of being shown."""
    return "".join(c.encode("unicode_escape").decode() if _acts(c) else c for c in text)


def _acts(character: str) -> bool:
    """Whether it is a control character, one that turns the direction of writing, or half a character."""
    return character != "\n" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def one_line(text: str, longest: int) -> str:
    """Its beginning, on one line."""
    return shortened(" ".join(text.split()), longest)
