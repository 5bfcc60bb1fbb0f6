"""Exported models that tell bright images from dark ones, small enough to make and to work out by hand."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.foundation.digests import digest_file
from pipeline.inference.exported_model import ExportedFile, ExportedModel, ExportedScores, Latency, publish
from pipeline.inference.preprocessing import PreprocessingSpec

CLASSES = ("bright", "dark", "never")
SIZE = 8


def probabilities_of(level: float, inverted: bool = False) -> dict[str, float]:
    """What the model gives for an image of one gray level: bright is its share of white."""
    bright = level / 255
    return {
        "bright": 1 - bright if inverted else bright,
        "dark": bright if inverted else 1 - bright,
        "never": 0.0,
    }


def export(exports: Path, name: str = "light", version: int = 1, inverted: bool = False) -> Path:
    """Write exports/<name>/<version> with the model as ONNX; returns that folder."""
    folder = exports / name / str(version)
    folder.mkdir(parents=True)
    path = folder / "onnx.onnx"
    onnx.save(_network(inverted), path)
    describe(folder, name, version, {"onnx": path}, CLASSES, SIZE)
    return folder


def describe(
    folder: Path, name: str, version: int, paths: dict[str, Path], classes: tuple[str, ...], size: int
) -> None:
    """Write export.json for model files in `folder`."""
    ExportedModel(
        name=name,
        version=version,
        candidate="baseline",
        network="brightness",
        model_digest=f"{version:064d}",
        preprocessing=PreprocessingSpec(size, "pad", "rgb", classes),
        scores=ExportedScores(0.9, 0.85, 0.94, images=100, confidence=0.95),
        lineage={"git_commit": "0" * 40, "run_id": "1" * 32},
        files={format_name: _file(path) for format_name, path in paths.items()},
    ).save(folder)


def published(exports: Path, folder: Path) -> Path:
    publish(exports, folder)
    return folder


def _file(path: Path) -> ExportedFile:
    known: dict[str, Any] = {
        "path": path.name,
        "digest": digest_file(path),
        "size_bytes": path.stat().st_size,
        "latency_ms": Latency(median=0.1, p99=0.2),
    }
    return ExportedFile(**{field.name: known.get(field.name, 0) for field in fields(ExportedFile)})


def _network(inverted: bool) -> onnx.ModelProto:
    """uint8 (N, SIZE, SIZE, 3) -> float32 (N, 3): the mean level as a share of 255, its complement, and 0."""
    constants: dict[str, np.ndarray] = {
        "all_but_first": np.array([1, 2, 3], np.int64),
        "white": np.array(255, np.float32),
        "row": np.array([-1, 1], np.int64),
        "weights": np.array([[1, -1, 0]] if not inverted else [[-1, 1, 0]], np.float32),
        "offsets": np.array([0, 1, 0] if not inverted else [1, 0, 0], np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["levels", "all_but_first"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "white"], ["share"]),
        helper.make_node("Reshape", ["share", "row"], ["column"]),
        helper.make_node("MatMul", ["column", "weights"], ["product"]),
        helper.make_node("Add", ["product", "offsets"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
