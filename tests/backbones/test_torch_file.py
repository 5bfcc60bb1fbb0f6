"""Tensors from PyTorch's files: what they hold, and files that hold something else."""

import collections
import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.backbones import torch_file
from pipeline.backbones.torch_file import read_torch_file
from pipeline.foundation.errors import PipelineError

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Name:
    """Pickled as a name of torch's, which is not installed here."""

    def __init__(self, module: str, name: str, arguments: tuple[Any, ...] | None = None) -> None:
        self.module, self.name, self.arguments = module, name, arguments


_PythonPickler: Any = vars(pickle)["_Pickler"]  # the one in Python can be taught names


class Pickler(_PythonPickler):
    def persistent_id(self, value: Any) -> Any:
        return value.pid if isinstance(value, Storage) else None

    def save(self, value: Any, save_persistent_id: bool = True) -> None:
        if not isinstance(value, Name):
            super().save(value, save_persistent_id)
            return
        self.write(b"c" + f"{value.module}\n{value.name}\n".encode())
        if value.arguments is not None:
            super().save(value.arguments)
            self.write(b"R")


class Storage:
    def __init__(self, key: str, values: np.ndarray, kind: str) -> None:
        self.values = values
        self.pid = ("storage", Name("torch", kind), key, "cpu", len(values), None)


def tensor(storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Name:
    arguments: tuple[Any, ...] = (storage, offset, shape, strides, False, collections.OrderedDict())
    return Name("torch._utils", "_rebuild_tensor_v2", arguments)


def written(path: Path, tensors: dict[str, Any], storages: dict[str, np.ndarray]) -> Path:
    file = io.BytesIO()
    for value in (MAGIC, PROTOCOL, {"little_endian": True}, tensors, list(storages)):
        Pickler(file, 2).dump(value)
    for values in storages.values():
        file.write(np.int64(len(values)).tobytes() + values.tobytes())
    path.write_bytes(file.getvalue())
    return path


def test_views_of_storages(tmp_path: Path) -> None:
    floats, counts = np.arange(12, dtype=np.float32), np.array([7], np.int64)
    storage, count = Storage("1", floats, "FloatStorage"), Storage("2", counts, "LongStorage")
    path = written(
        tmp_path / "network.pth",
        {
            "plain": tensor(storage, 0, (3, 4), (4, 1)),
            "transposed": tensor(storage, 0, (4, 3), (1, 4)),
            "part": tensor(storage, 5, (2,), (3,)),
            "count": tensor(count, 0, (), ()),
        },
        {"1": floats, "2": counts},
    )
    tensors = read_torch_file(path)
    assert tensors["plain"].tolist() == floats.reshape(3, 4).tolist()
    assert tensors["transposed"].tolist() == floats.reshape(3, 4).T.tolist()
    assert tensors["part"].tolist() == [5.0, 8.0]
    assert tensors["count"].shape == ()
    assert tensors["count"].dtype == np.int64
    assert int(tensors["count"]) == 7


class Attack:
    def __reduce__(self) -> Any:
        return os.system, ("touch attacked",)


@pytest.mark.parametrize("attack", [Attack(), Name("builtins", "eval", ("1",)), Name("torch", "load")])
def test_nothing_in_a_file_is_run(attack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "network.pth", {"weight": attack}, {})
    with pytest.raises(PipelineError, match=r"network\.pth is not a file of tensors") as caught:
        read_torch_file(path)
    assert "it asks for" in str(caught.value.found)
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (13,), (1,)), (10, (2, 2), (1, 2)), (-1, (2,), (1,)), (4, (2,), (-1,))],
)
def test_tensors_outside_their_storage(
    offset: int, shape: tuple[int, ...], strides: tuple[int, ...], tmp_path: Path
) -> None:
    floats = np.arange(12, dtype=np.float32)
    storage = Storage("1", floats, "FloatStorage")
    path = written(tmp_path / "n.pth", {"w": tensor(storage, offset, shape, strides)}, {"1": floats})
    with pytest.raises(PipelineError, match="not a file of tensors") as caught:
        read_torch_file(path)
    assert caught.value.found == "a tensor lies outside its storage"


def test_cut_and_other_files(tmp_path: Path) -> None:
    floats = np.arange(12, dtype=np.float32)
    storage = Storage("1", floats, "FloatStorage")
    whole = written(
        tmp_path / "whole.pth", {"w": tensor(storage, 0, (12,), (1,))}, {"1": floats}
    ).read_bytes()
    others = [whole[:length] for length in range(0, len(whole), 7)]
    others += [b"PK\x03\x04" + whole, b"no pickle at all", pickle.dumps([1, 2, 3])]
    for number, content in enumerate(others):
        path = tmp_path / f"{number}.pth"
        path.write_bytes(content)
        with pytest.raises(PipelineError, match=rf"{number}\.pth is not a file of tensors"):
            read_torch_file(path)
    assert torch_file.read_torch_file(tmp_path / "whole.pth")["w"].tolist() == floats.tolist()
