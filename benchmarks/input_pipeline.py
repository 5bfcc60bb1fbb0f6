"""Microseconds per image that it takes to make batches for training, and their share of a training.

    python -m benchmarks.input_pipeline

The rows of this project are `TrainingBatches`, with each kind of change by itself and with the settings of
`make cifar10`; the others make the same three changes (flip, shift mirrored at the border, a covered square)
as people do it with tf.data and tf.image, and with Keras' preprocessing layers in tf.data. Images are made
ones of 32x32 pixels in memory. Rounds over all rows alternate in one process; figures are medians.

`wall` is the time until a batch is there, with nothing else to do; `CPU` what all threads spend on it. Both
shares are of a batch and a step of fast_cnn on it together. That of the wall time counts for this project,
which makes a batch after the last step and before the next; that of the CPU for tf.data, whose threads make
batches while the network is trained, and take processor time away from it.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.cifar10 import NUM_CLASSES, SIDE, cifar10_params, made_data
from benchmarks.machine import THREAD_VARIABLES, TRAINING, machine_line, versions_line
from pipeline.foundation.errors import PipelineError
from pipeline.params.augmentation import AugmentationParams
from pipeline.training.batches import TrainingBatches
from pipeline.training.data import TrainingData

KINDS = {
    "horizontal_flip": True,
    "vertical_flip": True,
    "shift": 0.125,
    "rotation": 15.0,
    "zoom": 0.1,
    "brightness": 0.1,
    "contrast": 0.1,
    "cutout": 0.25,
    "random_erasing": 0.25,
    "mixup": 0.2,
    "cutmix": 1.0,
}
"""Every change by itself, as strong as trainings usually have it."""

_GOAL_PERCENT = 3

Epochs = Callable[[], Iterator[Any]]
"""Gives the batches of another epoch."""


def augmentation(**changes: Any) -> AugmentationParams:
    """No change but these."""
    flips = dict.fromkeys(("horizontal_flip", "vertical_flip"), False)
    return AugmentationParams(**{**dict.fromkeys(AugmentationParams.model_fields, 0.0), **flips, **changes})


def own_batches(data: TrainingData, batch_size: int, params: AugmentationParams) -> Epochs:
    batches = TrainingBatches(data, batch_size, params, "none", seed=0)

    def epoch() -> Iterator[Any]:
        return (batches[index] for index in range(len(batches)))

    return epoch


def tf_image_batches(data: TrainingData, batch_size: int) -> Epochs:
    """tf.data with tf.image, image by image on all threads, as TensorFlow's guide to augmentation has it."""
    import tensorflow as tf

    farthest, square = SIDE // 8, SIDE // 4
    fill = tf.constant([round(level) for level in data.statistics.mean], tf.uint8)

    def change(image: Any, label: Any) -> Any:
        image = tf.image.random_flip_left_right(image)
        image = tf.pad(image, [[farthest, farthest], [farthest, farthest], [0, 0]], "REFLECT")
        image = tf.image.random_crop(image, (SIDE, SIDE, 3))
        start = tf.random.uniform((2,), 0, SIDE - square + 1, tf.int32)
        ramp = tf.range(SIDE)
        rows, columns = ((ramp >= start[axis]) & (ramp < start[axis] + square) for axis in (0, 1))
        inside = rows[:, None] & columns[None, :]
        return tf.where(inside[..., None], fill, image), tf.one_hot(label, NUM_CLASSES)

    return _dataset(lambda images: images.map(change, tf.data.AUTOTUNE).batch(batch_size, True), data)


def keras_layer_batches(data: TrainingData, batch_size: int) -> Epochs:
    """Keras' preprocessing layers on batches in tf.data, as Keras' guide has it."""
    import keras
    import tensorflow as tf

    layers = [
        keras.layers.RandomFlip("horizontal"),
        keras.layers.RandomTranslation(0.125, 0.125),
        keras.layers.RandomErasing(scale=(0.06, 0.06)),
    ]

    def change(images: Any, labels: Any) -> Any:
        for layer in layers:
            images = layer(images, training=True)
        return images, tf.one_hot(labels, NUM_CLASSES)

    return _dataset(lambda images: images.batch(batch_size, True).map(change, tf.data.AUTOTUNE), data)


def _dataset(changed: Callable[[Any], Any], data: TrainingData) -> Epochs:
    import tensorflow as tf

    images = tf.data.Dataset.from_tensor_slices((data.train.images, data.train.labels))
    batches = changed(images.shuffle(len(data.train))).prefetch(tf.data.AUTOTUNE)
    return lambda: iter(batches)


def training_steps(data: TrainingData, batch_size: int) -> Epochs:
    """Steps of fast_cnn on batches that are there already; in a step nothing is augmented."""
    import keras

    from pipeline.networks.from_scratch import build_from_scratch

    widths = cifar10_params().train_baseline.widths
    model = build_from_scratch(
        "fast_cnn", data.train.images, NUM_CLASSES, data.statistics, widths, dropout=0.0
    )
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    batches = list(own_batches(data, batch_size, augmentation())())

    def epoch() -> Iterator[Any]:
        return (model.train_on_batch(*batch, return_dict=True) for batch in batches)

    return epoch


def cost(epoch: Epochs, images: int) -> tuple[float, float]:
    """Microseconds of wall and of processor time per image."""
    began, cpu_began = time.perf_counter(), time.process_time()
    for _ in epoch():
        pass
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    return 1e6 * wall / images, 1e6 * cpu / images


def main(options: argparse.Namespace) -> None:
    data = made_data(options.images // options.batch * options.batch, validation=1)
    rows: dict[str, Epochs] = {
        "nothing": own_batches(data, options.batch, augmentation()),
        **{kind: own_batches(data, options.batch, augmentation(**{kind: KINDS[kind]})) for kind in KINDS},
        "make cifar10": own_batches(data, options.batch, cifar10_params().augmentation),
        "tf.data and tf.image": tf_image_batches(data, options.batch),
        "Keras' layers in tf.data": keras_layer_batches(data, options.batch),
    }
    step_images = min(options.step_images, options.images) // options.batch * options.batch
    step = training_steps(made_data(step_images, validation=1), options.batch)
    for epoch in (*rows.values(), step):  # graphs are made, and memory is touched
        next(epoch())
    walls: dict[str, list[float]] = {name: [] for name in rows}
    cpus: dict[str, list[float]] = {name: [] for name in rows}
    steps: list[tuple[float, float]] = []
    for _ in range(options.rounds):
        for name, epoch in rows.items():
            wall, cpu = cost(epoch, len(data.train))
            walls[name].append(wall)
            cpus[name].append(cpu)
        steps.append(cost(step, step_images))
    step_wall, step_cpu = (statistics.median(values) for values in zip(*steps, strict=True))
    console = Console(width=110, highlight=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for title in ("wall, us/image", "lowest-highest", "CPU, us/image", "of wall, %", "of CPU, %"):
        table.add_column(title, justify="right")
    for name in rows:
        wall, cpu = statistics.median(walls[name]), statistics.median(cpus[name])
        table.add_row(
            name,
            f"{wall:.1f}",
            f"{min(walls[name]):.1f}-{max(walls[name]):.1f}",
            f"{cpu:.1f}",
            f"{100 * wall / (wall + step_wall):.2f}",
            f"{100 * cpu / (cpu + step_cpu):.2f}",
        )
    console.print(table)
    console.print(
        f"a step of fast_cnn, float32, batches of {options.batch}: {step_wall:,.0f} us per image, "
        f"{step_cpu:,.0f} us of CPU; the goal for make cifar10: less than {_GOAL_PERCENT} % of the wall time",
        soft_wrap=True,
    )
    console.print(f"{options.rounds} rounds of {len(data.train):,} images; {machine_line(options.threads)}")
    console.print(versions_line(TRAINING))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--images", type=int, default=5120, help="of a round")
    parser.add_argument("--step-images", type=int, default=1280, help="of a round of training steps")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    # Before TensorFlow's first operation, at which it reads them.
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(arguments.threads)))
    try:
        main(arguments)
    except PipelineError as error:
        sys.exit(str(error))
