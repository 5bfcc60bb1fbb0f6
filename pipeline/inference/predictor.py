"""Predicting with an exported model through LiteRT or ONNX Runtime: no TensorFlow, ready at once."""

import os
from pathlib import Path
from typing import Protocol

import numpy as np

from pipeline.foundation.array_types import Float32, UInt8
from pipeline.foundation.errors import PipelineError
from pipeline.inference.exported_model import LITERT_FORMATS, ONNX_FORMAT, PRUNED_FORMATS, ExportedModel
from pipeline.processes.native_output import native_stderr_silenced


class Predictor(Protocol):
    """A network in some runtime. One predictor must not be used by two threads at once."""

    def predict(self, images: UInt8[np.ndarray, "n h w c"]) -> Float32[np.ndarray, "n k"]:
        """Class probabilities of at least one image."""


class LiteRtPredictor:
    """A .tflite file in LiteRT."""

    def __init__(self, file: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(file), num_threads=threads)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._shape: tuple[int, ...] = ()
        with native_stderr_silenced():  # it announces its CPU kernels, the first time in a process
            self._interpreter.allocate_tensors()

    def predict(self, images: UInt8[np.ndarray, "n h w c"]) -> Float32[np.ndarray, "n k"]:
        if images.shape != self._shape:
            self._interpreter.resize_tensor_input(self._input, images.shape)
            self._interpreter.allocate_tensors()
            self._shape = images.shape
        self._interpreter.set_tensor(self._input, np.ascontiguousarray(images))
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output))


class OnnxPredictor:
    """An .onnx file in ONNX Runtime."""

    def __init__(self, file: Path, threads: int) -> None:
        """Raises PipelineError where ONNX Runtime is not installed: serving needs it for ONNX alone."""
        # Read once, at the import; without it, ONNX Runtime reports to its maker (since its version 1.29).
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise PipelineError(
                f"{file.name} needs ONNX Runtime, which is not installed here.",
                remedy="install onnxruntime in the version of requirements.lock, or export litert_fp32",
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def predict(self, images: UInt8[np.ndarray, "n h w c"]) -> Float32[np.ndarray, "n k"]:
        return np.asarray(self._session.run(None, {self._input: np.ascontiguousarray(images)})[0])


def load_predictor(model: ExportedModel, folder: Path, format_name: str, threads: int = 1) -> Predictor:
    """The predictor for one format of an exported model.

    Raises:
      PipelineError: the format was not exported, its file is damaged, or it has no runtime here.
    """
    return open_predictor(model.file(folder, format_name), format_name, threads)


def open_predictor(file: Path, format_name: str, threads: int = 1) -> Predictor:
    """The predictor for a file in one of the formats. Raises PipelineError where that has no runtime here."""
    if format_name in LITERT_FORMATS:
        return LiteRtPredictor(file, threads)
    if format_name == ONNX_FORMAT:
        return OnnxPredictor(file, threads)
    raise PipelineError(
        f"{format_name} is not a format that this process can run.",
        expected=", ".join((*LITERT_FORMATS, ONNX_FORMAT)),
        remedy="for saved_model start TensorFlow Serving (docs/deploy.md)",
    )


def preferred_format(model: ExportedModel) -> str:
    """The format to predict with where nobody asks for one: exact, and the quickest of the exact ones.

    Quantized formats are quicker, but their probabilities differ in the second or third digit.
    """
    quantized = ("litert_fp16", "litert_dynamic_int8", "litert_int8")
    for name in ("litert_fp32", ONNX_FORMAT, *quantized, *PRUNED_FORMATS):
        if name in model.files:
            return name
    raise PipelineError(
        "No format of this export can be run here.",
        expected="one of " + ", ".join((*LITERT_FORMATS, ONNX_FORMAT)),
        found=", ".join(model.files) or "no format",
        remedy=f"python -m pipeline export {model.original}",
    )
