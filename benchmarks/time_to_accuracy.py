"""Test accuracy over wall time on CIFAR-10: this project, a tutorial's network, PyTorch and others.

    python -m benchmarks.time_to_accuracy --location ../cifar10.tar.gz
    python -m benchmarks.time_to_accuracy --location ... --limit 0          # all 50,000 images
    python -m benchmarks.time_to_accuracy --location ... --torch-python /tmp/torchenv/bin/python

The stages fetch, split and preprocess of `make cifar10` make one set of arrays, which is not timed; each row
is then a process of its own, one after the other, with the same threads, and trains on the same images:

- pipeline, N epochs: what train_baseline does, looking at validation images after each epoch included;
- pipeline, transfer: what train_transfer does, from the backbone that was pretrained on CIFAR-100;
- tutorial: convolution and pooling, three times, Adam, 30 epochs, Keras' defaults for all else;
- PyTorch, N epochs: the same network, weights, schedule and augmentation; benchmarks/torch_network.py;
- HOG and SVM, AutoKeras, AutoGluon: scripts of this folder, run with the interpreters that are given.

`fitting` is the time from images in memory to a trained network, `process` from the start of the process to
its end, importing libraries and looking at the test images included. No row is chosen or stopped by the test
images; they are looked at once, after all of that.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.cifar10 import SETTINGS, cifar10_params
from benchmarks.machine import THREAD_VARIABLES, TRAINING, machine_line, versions_line
from pipeline import fetch, preprocess, split
from pipeline.commands.reproducing.repro import located
from pipeline.execution.in_process import run_stages
from pipeline.foundation.array_types import Float32, UInt8
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.images.arrays import ImageArrays
from pipeline.params.train_baseline import BaselineConfig
from pipeline.params.train_transfer import TransferConfig
from pipeline.params.whole import select
from pipeline.processes.native_output import private_stdout
from pipeline.scoring.intervals import Bootstrap, Interval, percentile_interval, resample

_FOLDER = Path(__file__).parent
_TUTORIAL_EPOCHS = 30
_BOOTSTRAP = Bootstrap(samples=1000, confidence=0.95, seed=0)

OTHERS = {
    "hog": ("HOG and linear SVM", "hog_svm.py"),
    "autokeras": ("AutoKeras", "autokeras_search.py"),
    "autogluon": ("AutoGluon", "autogluon_search.py"),
}
"""Rows with an interpreter of their own: title and script."""


@dataclass(frozen=True)
class Row:
    title: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """Attributes:
    seconds: of fitting.
    process_seconds: of the whole process.
    correct: test images with the right answer, of `images`.
    """

    seconds: float
    process_seconds: float
    correct: int
    images: int
    versions: dict[str, str]

    @property
    def accuracy(self) -> float:
        return self.correct / self.images

    @property
    def interval(self) -> Interval:
        counts = np.array([self.correct, self.images - self.correct])
        return percentile_interval(resample(counts, _BOOTSTRAP)[:, 0] / self.images, _BOOTSTRAP.confidence)


def rows(arrays: Path, options: argparse.Namespace) -> list[Row]:
    """All rows for which there is an interpreter."""
    program = (sys.executable, "-m", "benchmarks.time_to_accuracy", f"--arrays={arrays}")
    own = (*program, f"--precision={options.precision}", *(f"--set={setting}" for setting in options.set))
    found = [
        Row(f"pipeline, {epochs} epochs", (*own, "--row=baseline", f"--epochs={epochs}"))
        for epochs in options.epochs
    ]
    found.append(Row("pipeline, transfer", (*own, "--row=transfer")))
    epochs = options.tutorial_epochs
    found.append(Row(f"tutorial, {epochs} epochs", (*own, "--row=tutorial", f"--epochs={epochs}")))
    if options.torch_python:
        params = cifar10_params(*options.set)
        script = (
            str(options.torch_python),
            str(_FOLDER / "torch_network.py"),
            f"--precision={options.precision}",
        )
        network = (
            f"--widths={','.join(map(str, params.train_baseline.widths))}",
            f"--batch={params.batch_size}",
        )
        found += [
            Row(
                f"PyTorch, {epochs} epochs",
                (*script, "train", str(arrays), f"--epochs={epochs}", f"--rate={params.lr}", *network),
            )
            for epochs in options.epochs
        ]
    for name, (title, script_name) in OTHERS.items():
        if python := getattr(options, f"{name}_python"):
            found.append(Row(title, (str(python), str(_FOLDER / script_name), str(arrays))))
    return [row for row in found if not options.only or row.title in options.only]


def left_out(options: argparse.Namespace) -> list[str]:
    """What no interpreter was given for."""
    titles = {"torch": "PyTorch", **{name: title for name, (title, _) in OTHERS.items()}}
    return [title for name, title in titles.items() if not getattr(options, f"{name}_python")]


def outcome_of(row: Row, threads: int) -> Outcome:
    """Run a row. Raises PipelineError where it fails."""
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads)), "TF_CPP_MIN_LOG_LEVEL": "3"}
    began = time.perf_counter()
    done = subprocess.run(row.command, env=environment, capture_output=True, text=True, check=False)
    process_seconds = time.perf_counter() - began
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise PipelineError(f"'{row.title}' has failed.", found=last[0])
    values = json.loads(done.stdout.splitlines()[-1])
    return Outcome(process_seconds=process_seconds, **values)


@contextlib.contextmanager
def prepared(options: argparse.Namespace) -> Iterator[Path]:
    """The arrays of the three subsets, in a temporary folder."""
    here = Workspace.from_environment()
    settings = [*options.set, *([f"split.train_limit={options.limit}"] if options.limit else [])]
    with TemporaryDirectory() as folder:
        root = Path(folder)
        workspace = Workspace(root=root, home=here.home)  # where locations begin, and downloads are kept
        if options.location is not None:
            settings += located(options.location, SETTINGS, here)
        run_stages(workspace, cifar10_params(*settings), fetch, split, preprocess)
        yield workspace.arrays


def main(options: argparse.Namespace) -> None:
    console = Console(width=110, highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for title in ("fitting, s", "process, s", "test accuracy, %"):
        table.add_column(title, justify="right", no_wrap=True)
    versions: list[dict[str, str]] = []
    with prepared(options) as arrays:
        sizes = [len(ImageArrays.load(arrays / subset)) for subset in ("train", "test")]
        for row in rows(arrays, options):
            console.print(row.title)
            outcome = outcome_of(row, options.threads)
            versions.append(outcome.versions)
            low, high = 100 * outcome.interval.low, 100 * outcome.interval.high
            table.add_row(
                row.title,
                f"{outcome.seconds:,.1f}",
                f"{outcome.process_seconds:,.1f}",
                f"{100 * outcome.accuracy:.2f} [{low:.2f}, {high:.2f}]",
            )
    console.print(table)
    console.print(f"{sizes[0]:,} training images, {sizes[1]:,} test images, {options.precision}; one seed")
    if missing := left_out(options):
        console.print(f"left out, as no interpreter was given: {', '.join(missing)}")
    console.print(machine_line(options.threads))
    console.print(versions_line(TRAINING, *versions))


# --- the rows of this project and of plain Keras, each in its process ----------------------------------


def train_row(options: argparse.Namespace) -> None:
    """Train, look at the test images, print the outcome."""
    answers = private_stdout()  # keeps what is printed of epochs off it
    epochs = f"train_baseline.epochs={options.epochs[0]}"
    params = cifar10_params(*options.set, epochs, f"precision={options.precision}")
    if options.row == "tutorial":
        seconds, predicted = _fit_tutorial(options.arrays, options.epochs[0])
    else:
        config: BaselineConfig | TransferConfig = (
            select(params, BaselineConfig) if options.row == "baseline" else select(params, TransferConfig)
        )
        seconds, predicted = _fit_pipeline(options.arrays, config)
    labels = ImageArrays.load(options.arrays / "test").labels
    values = {"seconds": seconds, "correct": int((predicted.argmax(axis=1) == labels).sum())}
    print(json.dumps({**values, "images": len(labels), "versions": {}}), file=answers, flush=True)


def _fit_pipeline(
    arrays: Path, config: BaselineConfig | TransferConfig
) -> tuple[float, Float32[np.ndarray, "n k"]]:
    from pipeline.backbones.features import FeatureCache
    from pipeline.backbones.transfer import fit_transfer
    from pipeline.networks.from_scratch import fit_from_scratch
    from pipeline.training.data import TrainingData

    data = TrainingData.load(arrays)
    with TemporaryDirectory() as folder:
        checkpoints = Path(folder)
        began = time.perf_counter()
        if isinstance(config, BaselineConfig):
            fitted = fit_from_scratch(data, config, checkpoints, lambda *_: None)
        else:
            features = FeatureCache(checkpoints / "features", config.seed, ())
            fitted = fit_transfer(data, config, checkpoints, lambda *_: None, Path.cwd(), features)
        seconds = time.perf_counter() - began
    return seconds, _predicted(fitted.final_model(), arrays)


def _fit_tutorial(arrays: Path, epochs: int) -> tuple[float, Float32[np.ndarray, "n k"]]:
    import keras

    from benchmarks.keras_network import tutorial_cnn

    keras.utils.set_random_seed(0)
    train = ImageArrays.load(arrays / "train")
    images: UInt8[np.ndarray, "n h w c"] = np.array(train.images)
    model = tutorial_cnn(int(train.labels.max()) + 1, images.shape[1])
    began = time.perf_counter()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(images, train.labels, epochs=epochs, verbose=0)
    return time.perf_counter() - began, _predicted(model, arrays)


def _predicted(model: Any, arrays: Path) -> Float32[np.ndarray, "n k"]:
    return np.asarray(model.predict(np.array(ImageArrays.load(arrays / "test").images), verbose=0))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--location", help="of CIFAR-10, as for `make cifar10`")
    parser.add_argument("--limit", type=int, default=10_000, help="training images; 0 for all")
    parser.add_argument("--epochs", type=int, nargs="+", default=[3, 8, 15, 45])
    parser.add_argument("--tutorial-epochs", type=int, default=_TUTORIAL_EPOCHS)
    parser.add_argument("--precision", choices=["float32", "mixed_bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of params.yaml")
    parser.add_argument("--torch-python", type=Path, help="a Python with benchmarks/requirements-torch.txt")
    for option, (name, _) in OTHERS.items():
        parser.add_argument(f"--{option}-python", type=Path, help=f"for {name}; see RESULTS.md")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="as 'pipeline, transfer'")
    parser.add_argument("--row", choices=["baseline", "transfer", "tutorial"], help=argparse.SUPPRESS)
    parser.add_argument("--arrays", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        train_row(arguments) if arguments.row else main(arguments)
    except PipelineError as error:
        sys.exit(str(error))
