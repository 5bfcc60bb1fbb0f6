"""How fast an exported file starts and predicts, measured in a fresh process with one thread.

    python -m pipeline.deployment.measuring FORMAT FILE IMAGES.npy

prints an empty line when it has its first prediction, then the rest as JSON. It imports what predicting
needs and nothing else, so that its start is that of a program which only predicts.
"""

import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.foundation.array_types import UInt8
from pipeline.foundation.errors import PipelineError
from pipeline.inference.exported_model import SAVED_MODEL_FORMAT, Latency
from pipeline.inference.predictor import Predictor, open_predictor
from pipeline.processes.child_process import PACKAGE_FOLDER

_SINGLE_PREDICTIONS = 300
_WARM_UP_PREDICTIONS = 20
_BATCH_SIZE = 64
_BATCH_SECONDS = 1.0
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")


@dataclass(frozen=True)
class Speed:
    """Attributes:
    images_per_second: in batches.
    cold_start_seconds: from the start of the process to its first prediction.
    """

    latency_ms: Latency
    images_per_second: float
    cold_start_seconds: float


def measure_speed(format_name: str, file: Path, images: Path) -> Speed:
    """Start a process that predicts, and time it.

    Args:
      format_name: of the file.
      file: an exported file, or the folder of a SavedModel; absolute.
      images: .npy, uint8 (n, height, width, channels); absolute.

    Raises:
      PipelineError: the file cannot be used in a process of its own.
    """
    command = [sys.executable, "-m", __name__, format_name, str(file), str(images)]
    return measure_command(command, file.name)


def measure_command(command: Sequence[str], name: str) -> Speed:
    """Run a program that prints what `answer` prints. Raises PipelineError, about `name`, where it fails."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=PACKAGE_FOLDER,
            env={**os.environ, **_ONE_THREAD},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        with process:
            process.stdout.readline()
            cold_start = time.perf_counter() - began
            output = process.stdout.read()
        if process.returncode != 0:
            log.seek(0)
            lines = log.read().strip().splitlines() or ["no message"]
            raise PipelineError(f"{name} cannot be used in a new process.", found=lines[-1])
    values = json.loads(output)
    return Speed(Latency(**values["latency_ms"]), values["images_per_second"], round(cold_start, 3))


def compressed_size(path: Path) -> int:
    """Bytes of a ZIP archive of a file, or of all files below a folder."""
    files = [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if file.is_file()]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.relative_to(path.parent))
    return len(content.getbuffer())


def time_predictor(predictor: Predictor, images: UInt8[np.ndarray, "n h w c"]) -> dict[str, Any]:
    """Time single images and batches; the values of a Speed."""
    singles = [images[row % len(images)][np.newaxis] for row in range(_SINGLE_PREDICTIONS)]
    for image in singles[:_WARM_UP_PREDICTIONS]:
        predictor.predict(image)
    seconds = np.array([_duration(partial(predictor.predict, image)) for image in singles])
    batch = np.resize(images, (_BATCH_SIZE, *images.shape[1:]))
    predictor.predict(batch)
    spent, batches = 0.0, 0
    while spent < _BATCH_SECONDS:
        spent += _duration(partial(predictor.predict, batch))
        batches += 1
    return {
        "latency_ms": {
            "median": round(1000 * float(np.median(seconds)), 4),
            "p99": round(1000 * float(np.quantile(seconds, 0.99)), 4),
        },
        "images_per_second": round(batches * _BATCH_SIZE / spent, 1),
    }


def _duration(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _open(format_name: str, file: Path) -> Predictor:
    if format_name == SAVED_MODEL_FORMAT:
        from pipeline.deployment.saved_model import SavedModelPredictor  # nine seconds, for this format only

        return SavedModelPredictor(file)
    return open_predictor(file, format_name)


def answer(opened: Callable[[], Predictor], images_file: Path) -> None:
    """Predict and time; prints what `measure_command` reads."""
    predictor, images = opened(), np.load(images_file)
    predictor.predict(images[:1])
    print(flush=True)
    print(json.dumps(time_predictor(predictor, images)), flush=True)


def main(format_name: str, file: Path, images_file: Path) -> None:
    answer(lambda: _open(format_name, file), images_file)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
