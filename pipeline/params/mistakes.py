"""Mistakes in params.yaml in the words of YAML."""

import difflib
from collections.abc import Iterable
from typing import Any

Problem = dict[str, Any]


_EXPECTED = {
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "dict_type": "expected keys with values",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "model_type": "expected keys with values",
    "string_type": "expected text",
    "too_short": "expected at least one value",
    "tuple_type": "expected a list",
}


def in_words(problem: Problem) -> str:
    """What was expected and what was found, in the words of YAML."""
    found = problem.get("input")
    message = _EXPECTED.get(problem["type"]) or problem["msg"][0].lower() + problem["msg"][1:]
    if isinstance(found, str) and problem["type"] in ("float_type", "int_type") and _is_number(found):
        return f"{message}, found the text {found!r}: write it without quotes"
    if found is None:
        return f"{message}, found nothing"
    return f"{message}, found {str(found).lower() if isinstance(found, bool) else repr(found)}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def closest(name: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, [str(key) for key in known], n=1)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    known = list(known)
    if close := closest(name, known):
        return f"; did you mean '{close}'?"
    return f"; known here: {', '.join(known)}" if known else ""
