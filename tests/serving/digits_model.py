"""A classifier of scikit-learn's digits that needs no training: each class is the mean of its images."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from tests.serving.tiny_model import describe

CLASSES = tuple("0123456789")
SIZE = 32
_SHARPNESS = 0.05
"""Of the probabilities; with it they are about as sure as they are often right."""


def export_digits(exports: Path, name: str = "digits", version: int = 1) -> Path:
    """Write exports/<name>/<version>; returns that folder."""
    folder = exports / name / str(version)
    folder.mkdir(parents=True)
    path = folder / "onnx.onnx"
    onnx.save(_network(), path)
    describe(folder, name, version, {"onnx": path}, CLASSES, SIZE)
    return folder


def _means() -> np.ndarray:
    """The mean image of each class, float32 (10, pixels), 0 to 1."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    levels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    enlarged = [Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BILINEAR) for image in levels]
    pixels = np.stack([np.asarray(image.convert("RGB")).ravel() for image in enlarged]) / 255
    return np.stack([pixels[digits.target == label].mean(axis=0) for label in range(10)]).astype(np.float32)


def _network() -> onnx.ModelProto:
    """Softmax of the negative squared distances to the means; what all classes share is left out."""
    means = _means()
    constants = {
        "white": np.array(255, np.float32),
        "row": np.array([-1, means.shape[1]], np.int64),
        "weights": _SHARPNESS * 2 * means.T,
        "offsets": -_SHARPNESS * (means**2).sum(axis=1),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["levels", "white"], ["shares"]),
        helper.make_node("Reshape", ["shares", "row"], ["pixels"]),
        helper.make_node("MatMul", ["pixels", "weights"], ["products"]),
        helper.make_node("Add", ["products", "offsets"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "nearest mean",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", len(CLASSES)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
