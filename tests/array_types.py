"""Holds every call in pipeline/ to the shapes and dtypes of its arrays while tests run.

jaxtyping compares sizes within one call, beartype checks types. Types other than those of arrays are left to
mypy, as a test may well pass something that stands in for them.

jaxtyping's own option for pytest would wrap functions without arrays too, and compile a second time all that
a wrapped module imports: half of the time of some tests.
"""

import functools
import inspect
import sys
import typing
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

from beartype import beartype
from jaxtyping import AbstractArray, jaxtyped


def check_from_now_on(package: str) -> None:
    """Checks the calls of functions, methods and dataclasses of `package`, which nobody has imported yet."""
    if package in sys.modules:
        raise RuntimeError(f"{package} was imported before its arrays could be checked")
    finder: Any = _Finder(package)
    sys.meta_path.insert(0, finder)


class _Finder:
    def __init__(self, package: str) -> None:
        self._prefix = f"{package}."

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(self._prefix):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _check_members(module, module.__name__)


def _check_members(owner: ModuleType | type, module: str) -> None:
    for name, member in list(vars(owner).items()):
        if inspect.isclass(member) and member.__module__ == module:
            _check_members(member, module)
        elif inspect.isfunction(member) and member.__module__ == module:
            setattr(owner, name, _checked(member))
        elif isinstance(member, classmethod | staticmethod):
            setattr(owner, name, type(member)(_checked(member.__func__)))
        elif isinstance(member, property) and member.fget is not None:
            setattr(owner, name, member.getter(_checked(member.fget)))
        elif isinstance(member, functools.cached_property):
            member.func = _checked(member.func)


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    mentioned = any(map(_mentions_array, function.__annotations__.values()))
    if not mentioned or inspect.iscoroutinefunction(function):  # what that returns is not the array yet
        return function
    return jaxtyped(function, typechecker=_refuse_other_arrays)


def _refuse_other_arrays(stand_in: Callable[..., Any]) -> Callable[..., Any]:
    """Checks arrays among the arguments, or in the result, of the function whose signature `stand_in` has."""
    arrays = {name: hint for name, hint in stand_in.__annotations__.items() if _mentions_array(hint)}
    stand_in.__annotations__ = arrays
    return beartype(stand_in) if arrays else stand_in


def _mentions_array(hint: object) -> bool:
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    return any(map(_mentions_array, typing.get_args(hint)))
