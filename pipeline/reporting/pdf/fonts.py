"""The fonts of the PDF: DejaVu Sans, which comes with matplotlib, and Libertinus Serif inside typst."""

import functools
import re
from pathlib import Path

import matplotlib
import typst
from matplotlib.ft2font import FT2Font

_FOLDER = Path(matplotlib.get_data_path(), "fonts", "ttf")
_LONG_WORD, _PIECE = re.compile(r"\S{25,}"), re.compile(r"<U\+[0-9A-F]+>|.{8}")
_WIDEST = _FOLDER / "DejaVuSans.ttf"


def bundled_fonts() -> typst.Fonts:
    """Fonts that every machine with this project's packages has; those of the system are left out."""
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True, font_paths=[_FOLDER])


def unprintable(text: str) -> bool:
    """Whether the bundled fonts lack a character of the text."""
    return printable(text) != text


def printable(text: str) -> str:
    """The text with every character that the fonts lack as its Unicode number, such as <U+732B>."""
    known = _characters()
    return "".join(
        character if ord(character) in known or character.isspace() else f"<U+{ord(character):04X}>"
        for character in text
    )


def breakable(text: str) -> str:
    """The text with places where very long words may be broken, by zero-width spaces."""
    return _LONG_WORD.sub(lambda word: _PIECE.sub("\\g<0>\u200b", word[0]), text)


@functools.cache
def _characters() -> frozenset[int]:
    return frozenset(FT2Font(str(_WIDEST)).get_charmap())
