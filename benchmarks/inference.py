"""How much faster an exported model predicts than Keras, from one run on one machine with one thread.

    python -m benchmarks.inference [EXPORT]

EXPORT is the folder of an export.json (default: the published one); the model.keras that it was made
from has to be in models/. Every row is a process of its own, one after the other: what else the machine
does falls on all of them, so trust the ratios more than the times.

The rows of Keras are the two ways in which people serve it: `model.predict(image)`, and `model(image)`
without the machinery of `predict`. Cold start is from the start of the process to its first prediction.

Accuracies are those of the export; `python -m pipeline export` has compared every file with the original.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.machine import TRAINING, machine_line, versions_line
from pipeline.deployment.measuring import Speed, answer, measure_command, measure_speed
from pipeline.foundation.array_types import Float32, UInt8
from pipeline.foundation.digests import digest_file
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.images.arrays import ImageArrays
from pipeline.inference.exported_model import ExportedModel, published

_PROGRAM = "benchmarks.inference"
_IMAGES = 200
_KERAS_WAYS = ("predict", "call")


def main(workspace: Workspace, folder: Path) -> None:
    """Measure every format of the export in `folder`, and Keras."""
    exported = ExportedModel.load(folder)
    network = workspace.network(exported.candidate)
    if digest_file(network) != exported.model_digest:
        raise PipelineError(f"{folder} was not made from {network}.", remedy="export that model first")
    console = Console(width=120, highlight=False)
    with tempfile.TemporaryDirectory() as name:
        images = Path(name) / "images.npy"
        np.save(images, ImageArrays.load(workspace.subset("test")).images[:_IMAGES])
        speeds: dict[str, Speed] = {}
        for way in _KERAS_WAYS:
            console.print(f"measuring Keras, {way}")
            command = [sys.executable, "-m", _PROGRAM, "--keras", way, str(network), str(images)]
            speeds[way] = measure_command(command, network.name)
        for format_name in exported.files:
            console.print(f"measuring {format_name}")
            file = exported.file(folder, format_name).resolve()
            speeds[format_name] = measure_speed(format_name, file, images)
    console.print(_table(exported, network, speeds))
    console.print(f"{exported.name} {exported.version}: {exported.network}; x: against Keras predict")
    console.print(machine_line(threads=1))
    console.print(versions_line((*TRAINING, "ai-edge-litert", "onnxruntime")))


def _table(exported: ExportedModel, network: Path, speeds: dict[str, Speed]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for title in ("MB", "accuracy, %", "1 image, ms", "p99", "x", "images/s", "x", "cold start, s", "x"):
        table.add_column(title, justify="right", no_wrap=True)
    base = speeds["predict"]
    titles = {"predict": "Keras model.predict(image)", "call": "Keras model(image)"}
    for name, speed in speeds.items():
        file = exported.files.get(name)
        size = file.size_bytes if file else network.stat().st_size
        accuracy = file.accuracy if file else exported.scores.accuracy
        median, p99 = speed.latency_ms.median, speed.latency_ms.p99
        table.add_row(
            titles.get(name, name),
            f"{size / 1e6:.2f}",
            f"{100 * accuracy:.2f}",
            f"{median:.2f}",
            f"{p99:.2f}",
            f"{base.latency_ms.median / median:,.0f}",
            f"{speed.images_per_second:,.0f}",
            f"{speed.images_per_second / base.images_per_second:.1f}",
            f"{speed.cold_start_seconds:.2f}",
            f"{base.cold_start_seconds / speed.cold_start_seconds:.0f}",
        )
    return table


class _KerasPredictor:
    """A model.keras in one of the two ways."""

    def __init__(self, network: Path, way: str) -> None:
        import keras

        self._model = keras.models.load_model(network, compile=False)
        self._way = way

    def predict(self, images: UInt8[np.ndarray, "n h w c"]) -> Float32[np.ndarray, "n k"]:
        if self._way == "predict":
            return np.asarray(self._model.predict(images, verbose=0))
        return np.asarray(self._model(images, training=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("export", nargs="?", type=Path, metavar="EXPORT")
    parser.add_argument("--keras", nargs=3, help=argparse.SUPPRESS)  # the rows of Keras, as a process
    options = parser.parse_args()
    if options.keras:
        way, model_file, images_file = options.keras
        answer(lambda: _KerasPredictor(Path(model_file), way), Path(images_file))
    else:
        here = Workspace.from_environment()
        try:
            main(here, options.export or published(here.exports))
        except PipelineError as error:
            sys.exit(str(error))
