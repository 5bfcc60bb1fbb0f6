"""Holds every call in pipeline/ to the shapes and dtypes of its arrays while tests run.

jaxtyping (an option in pyproject.toml) hands over each function and dataclass. Types other than those of
arrays are left to mypy, as a test may well pass something that stands in for them.
"""

import inspect
import typing
from collections.abc import Callable
from typing import Any

from beartype import beartype
from jaxtyping import AbstractArray


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which from now on refuses arrays that do not fit its annotations."""
    arrays = {name: hint for name, hint in function.__annotations__.items() if _mentions_array(hint)}
    function.__annotations__ = arrays
    return beartype(function) if arrays else function


def _mentions_array(hint: object) -> bool:
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    return any(map(_mentions_array, typing.get_args(hint)))
