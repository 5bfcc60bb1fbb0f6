"""Params as runs carry them: flat names, values as text."""

import json
from collections.abc import Mapping
from typing import Any

from pipeline.params.base import flattened
from pipeline.tracking.redaction import without_credentials


def as_text(params: Mapping[str, Any]) -> dict[str, str]:
    """Nested names joined with dots, every value as text and without credentials."""
    return {name: without_credentials(_text_of(value)) for name, value in flattened(params)}


def _text_of(value: Any) -> str:
    if isinstance(value, tuple | list):
        return json.dumps(list(value), default=str)
    return "null" if value is None else str(value)
