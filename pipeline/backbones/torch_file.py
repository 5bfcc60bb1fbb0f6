"""Tensors from a file that PyTorch saved, read without PyTorch and without running what is in the file.

Such a file is a series of pickles, and a pickle may call any function. The reader here knows four names
and refuses every other one.
"""

import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pipeline.foundation.array_types import Float32, Int64
from pipeline.foundation.errors import PipelineError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_TYPES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}

Tensor = Float32[np.ndarray, "*shape"] | Int64[np.ndarray, "*shape"]


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype[Any]
    size: int


@dataclass(frozen=True)
class _View:
    """A tensor as the file describes it: a view of a storage, in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, values: np.ndarray) -> Tensor:
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        if min((self.offset, *self.strides)) < 0 or (0 not in self.shape and last >= len(values)):
            raise ValueError("a tensor lies outside its storage")
        steps = [step * values.itemsize for step in self.strides]
        view = np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, steps, writeable=False)
        return np.array(view)


class _TensorsOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _view,
            **{("torch", kind): kind for kind in _TYPES},
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return known[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        _, kind, key, _, size, _ = pid
        return _Storage(str(key), _TYPES[kind], int(size))


def _view(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _View:
    return _View(storage, offset, tuple(shape), tuple(strides))


def read_torch_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dictionary in the format that PyTorch wrote until version 1.5.

    Raises PipelineError where the file is another, is damaged, or asks for more than tensors.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, EOFError, AttributeError) as error:
        raise PipelineError(
            f"{path.name} is not a file of tensors as PyTorch saved them.",
            expected="a state dictionary in PyTorch's format from before version 1.6",
            found=str(error) or type(error).__name__,
        ) from error


def _read(file: BinaryIO) -> dict[str, Tensor]:

    def load() -> Any:
        return _TensorsOnly(file).load()

    if (load(), load()) != (_MAGIC, _PROTOCOL):
        raise ValueError("another format")
    load()  # of the machine that wrote it; little-endian, or the sizes below would not fit
    views: dict[str, _View] = load()
    storages = {view.storage.key: view.storage for view in views.values()}
    values = {}
    for key in load():
        storage = storages[key]
        (count,) = np.frombuffer(file.read(8), "<i8")
        if count != storage.size:
            raise ValueError(f"a storage of {count} values instead of {storage.size}")
        values[key] = np.frombuffer(file.read(count * storage.dtype.itemsize), storage.dtype, count)
    return {name: view.of(values[view.storage.key]) for name, view in views.items()}
