"""CIFAR-10 as `make cifar10` trains on it: its settings, and made images of its shape."""

import numpy as np

from pipeline.foundation.array_types import Float32, UInt8
from pipeline.foundation.workspace import Workspace
from pipeline.images.arrays import ChannelStatistics, ImageArrays
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.params.whole import Params, load_params
from pipeline.training.data import TrainingData

SETTINGS = (
    "fetch.dataset=cifar10",
    "split.validation_share=0.1",
    "train_baseline.widths=[64,256,256]",
    "train_transfer.head_epochs=5",
    "train_transfer.fine_tune_lr_scale=0.75",
    "augmentation.horizontal_flip=true",
    "augmentation.shift=0.125",
    "augmentation.cutout=0.25",
)
"""Those of the Makefile for trainings; a test compares the two."""

NUM_CLASSES, SIDE = 10, 32


def cifar10_params(*others: str) -> Params:
    """params.yaml with the settings of CIFAR-10, and others."""
    return load_params(Workspace.from_environment().params, (*SETTINGS, *others))


def made_images(count: int) -> tuple[UInt8[np.ndarray, "n h w c"], Float32[np.ndarray, "n k"]]:
    """Noise that is brighter the higher the class, so that a loss falls; with one-hot targets."""
    generator = np.random.default_rng(0)
    labels = generator.integers(NUM_CLASSES, size=count)
    noise = generator.integers(128, size=(count, SIDE, SIDE, 3), dtype=np.uint8)
    images = (noise + 12 * labels[:, None, None, None]).astype(np.uint8)
    return images, np.eye(NUM_CLASSES, dtype=np.float32)[labels]


def made_data(train: int, validation: int) -> TrainingData:
    """Such images as a training of the pipeline takes them."""
    images, targets = made_images(train + validation)
    labels = targets.argmax(axis=1)
    every = ImageArrays(images, labels, np.arange(len(images)))
    first, rest = (
        ImageArrays(every.images[rows], every.labels[rows], every.ids[rows])
        for rows in (slice(train), slice(train, None))
    )
    pixels = images.reshape(-1, 3).astype(np.float64)
    statistics = ChannelStatistics(tuple(pixels.mean(axis=0).tolist()), tuple(pixels.std(axis=0).tolist()))
    classes = tuple(f"class {label}" for label in range(NUM_CLASSES))
    return TrainingData(
        first, rest, statistics, PreprocessingSpec(SIDE, "pad", "rgb", classes), digest="made"
    )
