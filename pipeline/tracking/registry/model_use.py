"""Loads a registered or logged model through MLflow as its users do, in a process of its own.

Of its own, because Keras takes nine seconds and much memory, and because the model must load where
the pipeline is not installed.
"""

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.foundation.array_types import Float32, Float64, UInt8
from pipeline.foundation.errors import PipelineError
from pipeline.processes.child_process import Say, run_command
from pipeline.tracking.redaction import without_credentials
from pipeline.tracking.store import Store

_PROGRAM = Path(__file__).with_name("model_process.py")
_LOG = "log.txt"
_LONGEST_REASON = 500


@dataclass(frozen=True)
class EncodedFiles:
    """Where the bytes of encoded images lie: image i is `sizes[i]` bytes from `offsets[i]` of `path` on."""

    path: Path
    offsets: Sequence[int]
    sizes: Sequence[int]


@dataclass(frozen=True)
class Use:
    """What a model has said, and how fast.

    Attributes:
      classes: names; the index is the column.
      pixels: probabilities of the images given as pixels.
      encoded: of those given as encoded files.
      milliseconds: for the first image, each time.
    """

    classes: tuple[str, ...]
    pixels: Float32[np.ndarray, "n k"]
    encoded: Float32[np.ndarray, "m k"]
    milliseconds: Float64[np.ndarray, " repetitions"]


def use_model(
    store: Store,
    model: str,
    say: Say,
    *,
    pixels: UInt8[np.ndarray, "n h w c"] | None = None,
    encoded: EncodedFiles | None = None,
    repetitions: int = 0,
    threads: int | None = None,
) -> Use:
    """Predict with a model, and time it on the first image.

    Args:
      store: where it is.
      model: its address there, such as models:/name/1.
      say: is told what takes time.
      pixels: as the network takes them.
      encoded: encoded images, of any size.
      repetitions: how often the first of `pixels` is predicted again for the time.
      threads: of TensorFlow; its own choice where None.

    Raises:
      PipelineError: the model does not load, or does not take these images.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if pixels is not None:
            np.save(folder / "images.npy", pixels)
        request = {"model": model, "repetitions": repetitions, "encoded": _as_json(encoded)}
        (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
        command = [sys.executable, "-P", str(_PROGRAM), name]
        code = run_command(command, folder / _LOG, say, folder, _environment(store, threads))
        if code != 0:
            raise PipelineError(f"{model} cannot be used through MLflow.", found=_reason(folder))
        with np.load(folder / "answer.npz") as answer:
            nothing = np.zeros((0, len(answer["classes"])), dtype=np.float32)
            return Use(
                classes=tuple(map(str, answer["classes"])),
                pixels=answer.get("pixels", nothing),
                encoded=answer.get("encoded", nothing),
                milliseconds=answer.get("milliseconds", np.zeros(0)),
            )


def _as_json(encoded: EncodedFiles | None) -> dict[str, Any] | None:
    if encoded is None:
        return None
    return {
        "path": str(encoded.path.absolute()),
        "offsets": list(map(int, encoded.offsets)),
        "sizes": list(map(int, encoded.sizes)),
    }


def _environment(store: Store, threads: int | None) -> Mapping[str, str]:
    """Of a process that does not find the pipeline's package, but finds the store."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["MLFLOW_TRACKING_URI"] = store.address
    if threads is not None:
        environment |= {"TF_NUM_INTRAOP_THREADS": str(threads), "TF_NUM_INTEROP_THREADS": str(threads)}
    return environment


def _reason(folder: Path) -> str:
    """What the program has left to say when it failed."""
    error = folder / "error.txt"
    if error.exists():
        text = error.read_text(encoding="utf-8")[:_LONGEST_REASON]
    else:  # it was killed, or could not even start
        text = (folder / _LOG).read_text(encoding="utf-8", errors="replace")[-_LONGEST_REASON:]
    return without_credentials(" ".join(text.split())) or "its process was killed"
