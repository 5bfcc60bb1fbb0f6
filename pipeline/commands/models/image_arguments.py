"""The images that a command is given: files, folders, or standard input."""

import argparse
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pipeline.images.decoding import EXTENSIONS, UnreadableImageError
from pipeline.sources.walking import files_below

STANDARD_INPUT = "-"


def add_images(parser: argparse.ArgumentParser) -> None:
    """Declare `images`, and `--top`: how much to say about each."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="a file, a folder, or - for standard input"
    )
    parser.add_argument(
        "--top", type=_number, default=3, metavar="K", help="classes to show (default: %(default)s)"
    )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text} is not a number of classes: at least 1")
    return int(text)


def named_images(given: Sequence[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The name of every image and what reads it, once or again; as given, folders sorted by name."""
    for name in given:
        path = Path(name)
        if name == STANDARD_INPUT:
            yield "standard input", functools.cache(sys.stdin.buffer.read)
        elif path.is_dir():
            found = False
            for file in _files(path):
                found = True
                yield str(file), file.read_bytes
            if not found:
                yield name, _no_image
        else:
            yield name, path.read_bytes


def _files(folder: Path) -> Iterator[Path]:
    """All image files below a folder, by their extensions."""
    for name in files_below(folder):
        if name.rpartition(".")[2].lower() in EXTENSIONS:
            yield folder / name


def _no_image() -> bytes:
    raise UnreadableImageError("no image in this folder")


def why_unreadable(error: OSError | UnreadableImageError) -> str:
    """The reason in a few words, without the name of the file."""
    return getattr(error, "strerror", None) or str(error)
