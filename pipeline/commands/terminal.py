"""What commands print: lines for people, and tables of one width."""

import sys
from collections.abc import Iterable

from pipeline.params.mistakes import closest

WIDTH = 120
"""Columns; fixed, so that a table is the same in a terminal, a pipe and a log."""


def say(line: str) -> None:
    print(line, flush=True)


def say_aside(line: str) -> None:
    """Say it without a place in standard output, which is kept for JSON."""
    print(line, file=sys.stderr, flush=True)


def suggestion(name: str, known: Iterable[str]) -> str:
    """The beginning of a remedy for a name that is not known; empty where nothing is close."""
    close = closest(name, sorted(known))
    return f"did you mean '{close}'? " if close else ""
