"""Images trained per second: the pipeline against plain Keras and plain PyTorch, and the machine's peak.

    python -m benchmarks.throughput
    python -m benchmarks.throughput --batch 128 256 512 --torch-python /tmp/torchenv/bin/python

All train fast_cnn (by default the widths of CIFAR-10) on made images of 32x32 pixels in memory, every row in
a process of its own with the same number of threads. A round is one pass over `--images` images; rounds
alternate. What is timed is the pass alone, without the first one, validation or checkpoints:

- pipeline: `fit` of pipeline.training.fitting as the stage calls it, augmentation of `make cifar10` included;
- Keras tutorial: `model.fit` on arrays, the same changes of images as layers of the network;
- Keras at its best: `model.fit` on tf.data, several steps per execution, and no augmentation at all;
- PyTorch: a plain loop, channels last, augmentation of the same kind; benchmarks/torch_network.py.

`x` is the median over rounds of a row against the first one in the same round. GFLOP/s counts two operations
for each multiply-accumulate that a training step needs of convolutions and dense layers, and nothing else.
Their share of the peak is against the fastest product of matrices or convolution, by any library measured
here, in the same precision, threads and run.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.alternation import Competitor, Measured, Rounds, alternate
from benchmarks.cifar10 import NUM_CLASSES, SIDE, cifar10_params, made_data, made_images
from benchmarks.machine import TRAINING, machine_line, versions_line
from pipeline.foundation.errors import PipelineError
from pipeline.inference.model_card import LayerSummary
from pipeline.params.fitting import Precision

PRECISIONS: tuple[Precision, ...] = ("float32", "mixed_bfloat16")
SHORT = {"float32": "fp32", "mixed_bfloat16": "bf16"}
_LEARNING_RATE = 0.01  # low enough for any network: the speed of a step does not depend on it
_TORCH_SCRIPT = Path(__file__).parent / "torch_network.py"
_MEGA = 1e6


def competitors(batch: int, options: argparse.Namespace) -> list[Competitor]:
    """The rows of one batch size, the peaks last."""
    sizes = (
        f"--batch={batch}",
        f"--images={options.images}",
        f"--widths={','.join(map(str, options.widths))}",
    )
    found = {}
    for precision in PRECISIONS:
        for kind in ("pipeline", "keras_at_its_best", "peak"):
            found[f"{kind} {SHORT[precision]}"] = _own(kind, precision, options.rounds, *sizes)
        if options.torch_python:
            shared = (str(options.torch_python), str(_TORCH_SCRIPT), f"--precision={precision}")
            found[f"torch {SHORT[precision]}"] = (*shared, "throughput", *sizes)
            found[f"torch_peak {SHORT[precision]}"] = (*shared, "peak")
    found["keras_tutorial fp32"] = _own("keras_tutorial", "float32", options.rounds, *sizes)
    kinds = ["pipeline", "keras_tutorial", "keras_at_its_best", "torch", "peak", "torch_peak"]
    ordered = sorted(found, key=lambda name: kinds.index(name.partition(" ")[0]))
    return [Competitor(name, found[name]) for name in ordered if not options.only or name in options.only]


def _own(kind: str, precision: str, rounds: int, *sizes: str) -> tuple[str, ...]:
    program = (sys.executable, "-m", "benchmarks.throughput", f"--competitor={kind}")
    return (*program, f"--precision={precision}", f"--rounds={rounds}", *sizes)


# --- the competitors, each in its process --------------------------------------------------------------


def train_pipeline(options: argparse.Namespace) -> None:
    """`fit` as the stages call it; what it is told of an epoch is when a round has ended."""
    from pipeline.networks.from_scratch import build_from_scratch
    from pipeline.networks.precision import build
    from pipeline.training.fitting import EpochResult, FitPlan, fit
    from pipeline.training.layers import summarize

    params = cifar10_params(f"train_baseline.widths={list(options.widths)}")
    data = made_data(options.images, validation=options.batch)
    model = build(
        lambda: build_from_scratch(
            "fast_cnn", data.train.images, NUM_CLASSES, data.statistics, options.widths, dropout=0.0
        ),
        options.precision,
    )
    macs = training_macs(summarize(model))
    rounds = Rounds()

    def on_epoch(result: EpochResult, images_per_second: float) -> None:
        if result.epoch == 1:  # in which TensorFlow makes its graph
            rounds.report(macs=macs, forward_macs=sum(layer.macs for layer in summarize(model)))
        else:
            rounds.report(images_per_second=images_per_second)

    plan = FitPlan(
        phase="train",
        epochs_before=0,
        epochs=options.rounds + 1,
        learning_rate=_LEARNING_RATE,
        batch_size=options.batch,
        params=params.train_baseline,
        augmentation=params.augmentation,
        seed=0,
    )
    with TemporaryDirectory() as folder:
        fit(model, data, plan, Path(folder), on_epoch)


def training_macs(layers: Sequence[LayerSummary]) -> int:
    """Multiply-accumulates of a training step for one image.

    A layer that learns needs as many again for the gradient of its weights, and once more for that of its
    input, which the first of them has no use for.
    """
    learning = [layer.macs for layer in layers if layer.trainable and layer.macs]
    return sum(layer.macs for layer in layers) + 2 * sum(learning) - learning[0]


def train_keras_tutorial(options: argparse.Namespace) -> None:
    """Arrays, layers that augment, `model.fit`."""
    from benchmarks.keras_network import compile_for_training, fast_cnn, tutorial_augmentation

    images, targets = made_images(options.images)
    model = fast_cnn(options.widths, NUM_CLASSES, SIDE, tutorial_augmentation())
    compile_for_training(model, _LEARNING_RATE)
    _fit(model, options, images.astype("float32"), targets, batch_size=options.batch)


def train_keras_at_its_best(options: argparse.Namespace) -> None:
    """Images are bytes until they reach the network, batches are made ahead, steps run without Python."""
    import keras
    import tensorflow as tf

    from benchmarks.keras_network import compile_for_training, fast_cnn

    keras.config.set_dtype_policy(options.precision)
    images, targets = made_images(options.images)
    batches = (
        tf.data.Dataset.from_tensor_slices((images, targets))
        .cache()
        .shuffle(len(images))
        .batch(options.batch, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )
    model = fast_cnn(options.widths, NUM_CLASSES, SIDE, augmentation=())
    steps = max(1, min(10, options.images // options.batch))
    compile_for_training(model, _LEARNING_RATE, steps_per_execution=steps)
    _fit(model, options, batches)


def _fit(model: Any, options: argparse.Namespace, *data: Any, **batching: Any) -> None:
    """`model.fit`, a round an epoch."""
    import keras

    rounds = Rounds()
    began = 0.0
    counted = options.images // options.batch * options.batch

    class _EpochsAreRounds(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            nonlocal began
            began = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seconds = time.perf_counter() - began
            rounds.report(**({"images_per_second": counted / seconds} if epoch else {}))

    model.fit(*data, epochs=options.rounds + 1, verbose=0, callbacks=[_EpochsAreRounds()], **batching)


def measure_peak(options: argparse.Namespace) -> None:
    """TensorFlow's fastest product and convolution, again in each round."""
    rounds = Rounds()
    rounds.report()
    while True:
        rounds.report(gflops=max(peak_rates(options.precision).values()))


def peak_rates(
    precision: Precision, side: int = 2048, images: int = 32, seconds: float = 1.0
) -> dict[str, float]:
    """GFLOP/s of a product of square matrices, and of a convolution as most of fast_cnn's work is."""
    import tensorflow as tf

    dtype = tf.bfloat16 if precision == "mixed_bfloat16" else tf.float32
    matrix = tf.cast(tf.random.normal((side, side)), dtype)
    planes, kernel = (
        tf.cast(tf.random.normal(shape), dtype) for shape in ((images, 16, 16, 256), (3, 3, 256, 256))
    )
    product = tf.function(lambda: tf.matmul(matrix, matrix))
    convolution = tf.function(lambda planes, kernel: tf.nn.conv2d(planes, kernel, 1, "SAME"))
    return {
        "product": 2 * side**3 / _fastest(product, seconds) / 1e9,
        "convolution": 2
        * images
        * 16
        * 16
        * 256
        * 256
        * 9
        / _fastest(lambda: convolution(planes, kernel), seconds)
        / 1e9,
    }


def _fastest(work: Callable[[], Any], seconds: float) -> float:
    """Seconds of the fastest call, after one that compiles."""
    work().numpy()
    end, fastest = time.perf_counter() + seconds, float("inf")
    while (began := time.perf_counter()) < end or fastest == float("inf"):
        work().numpy()  # waits for the result
        fastest = min(fastest, time.perf_counter() - began)
    return fastest


# --- the table -----------------------------------------------------------------------------------------


def peaks(measured: Mapping[str, Measured]) -> dict[str, float]:
    """The highest GFLOP/s of any library and round, by precision."""
    found: dict[str, float] = {}
    for name, each in measured.items():
        kind, _, precision = name.partition(" ")
        if kind.endswith("peak"):
            found[precision] = max([found.get(precision, 0.0), *each.values("gflops")])
    return found


def add_rows(table: Table, batch: int, measured: Mapping[str, Measured]) -> None:
    """A row for each competitor but the peaks."""
    rows = {name: each for name, each in measured.items() if "peak" not in name}
    first = next(iter(rows.values()))
    best = peaks(measured)
    for name, each in rows.items():
        speeds = each.values("images_per_second")
        ratios = [own / other for own, other in zip(speeds, first.values("images_per_second"), strict=True)]
        gflops = 2 * first.facts.get("macs", 0) * statistics.median(speeds) / 1e9
        peak = best.get(name.rpartition(" ")[2])
        table.add_row(
            str(batch),
            name.replace("_", " "),
            f"{statistics.median(speeds):,.0f}",
            f"{min(speeds):,.0f}-{max(speeds):,.0f}",
            f"{statistics.median(ratios):.2f}",
            f"{gflops:,.0f}" if gflops else "",
            f"{100 * gflops / peak:.0f}" if gflops and peak else "",
        )


def main(options: argparse.Namespace) -> None:
    console = Console(width=120, highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("batch", "", "images/s", "lowest-highest", "x", "GFLOP/s", "of peak, %"):
        table.add_column(title, justify="left" if not title else "right", no_wrap=True)
    every: dict[str, Measured] = {}
    for batch in options.batch:
        console.print(f"batches of {batch}")
        every = alternate(competitors(batch, options), options.rounds, options.threads, console.print)
        add_rows(table, batch, every)
        table.add_section()
    console.print(table)
    for each in every.values():
        if "forward_macs" in each.facts:
            forward, training = each.facts["forward_macs"] / _MEGA, each.facts["macs"] / _MEGA
            console.print(
                f"multiply-accumulates per image, millions: {forward:.1f}, with gradients {training:.1f}"
            )
            break
    found = ", ".join(f"{precision} {gflops:,.0f} GFLOP/s" for precision, gflops in peaks(every).items())
    console.print(f"peak: {found or 'not measured'}")
    if not options.torch_python:
        console.print("PyTorch is left out: no --torch-python")
    console.print(f"{options.rounds} rounds of {options.images:,} images; {machine_line(options.threads)}")
    console.print(versions_line(TRAINING, *(each.facts.get("versions", {}) for each in every.values())))


_COMPETITORS = {
    "pipeline": train_pipeline,
    "keras_tutorial": train_keras_tutorial,
    "keras_at_its_best": train_keras_at_its_best,
    "peak": measure_peak,
}


def _widths(text: str) -> tuple[int, ...]:
    return tuple(int(width) for width in text.split(","))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[128])
    parser.add_argument("--images", type=int, default=5120, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--widths", type=_widths, default=(64, 256, 256), help="channels, with commas")
    parser.add_argument("--torch-python", type=Path, help="a Python with benchmarks/requirements-torch.txt")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="as 'pipeline fp32' or 'torch bf16'")
    parser.add_argument("--competitor", choices=list(_COMPETITORS), help=argparse.SUPPRESS)
    parser.add_argument("--precision", choices=PRECISIONS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.competitor:
        arguments.batch = arguments.batch[0]
        _COMPETITORS[arguments.competitor](arguments)
    else:
        try:
            main(arguments)
        except PipelineError as error:
            sys.exit(str(error))
