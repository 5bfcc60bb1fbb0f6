"""Params as runs carry them: flat names, values as text."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.tracking.redaction import without_credentials


def as_text(params: Mapping[str, Any]) -> dict[str, str]:
    """Nested names joined with dots, every value as text and without credentials."""
    return {name: without_credentials(_text_of(value)) for name, value in _flattened(params)}


def _flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text_of(value: Any) -> str:
    if isinstance(value, tuple | list):
        return json.dumps(list(value), default=str)
    return "null" if value is None else str(value)
