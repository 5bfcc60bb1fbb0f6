"""A toy data set that every network separates in seconds, and the params to train on it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.foundation.workspace import Workspace
from pipeline.images.arrays import ChannelStatistics, ImageArrays, arrays_digest
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.fitting import Precision
from pipeline.params.train_baseline import BaselineConfig, TrainBaselineParams
from pipeline.params.train_transfer import TrainTransferParams, TransferConfig
from pipeline.params.tune import TuneParams
from pipeline.training.data import TrainingData
from pipeline.training.fitting import EpochResult

CLASSES = ("dark", "bright", "striped")
SIZE = 16

FITTING: dict[str, Any] = {
    "optimizer": "sgd",
    "schedule": "one_cycle",
    "warmup_share": 0.2,
    "weight_decay": 0.005,
    "label_smoothing": 0.1,
    "early_stopping_patience": None,
    "class_weights": "none",
}


@pytest.fixture
def eager() -> Iterator[None]:
    """Run networks step by step: compiling a graph takes longer than all steps of a tiny training."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def subset(count: int, seed: int, channels: int = 1, size: int = SIZE) -> ImageArrays:
    """Noisy images, dark, bright or striped, in turn."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    level = np.array([40, 200, 40])[labels][:, None, None, None] + np.zeros((1, size, size, channels))
    level[labels == 2, ::4] = 200
    images = (level + random.normal(0, 15, size=level.shape)).clip(0, 255).astype(np.uint8)
    return ImageArrays(images, labels.astype(np.int64), np.arange(count, dtype=np.int64) + 1000 * seed)


def write_arrays(folder: Path, train: int = 40, validation: int = 15, channels: int = 1) -> None:
    """What preprocess writes and a training reads."""
    arrays = {"train": subset(train, 1, channels), "validation": subset(validation, 2, channels)}
    for name, values in arrays.items():
        (folder / name).mkdir(parents=True)
        np.save(folder / name / "images.npy", values.images)
        np.save(folder / name / "labels.npy", values.labels)
        np.save(folder / name / "ids.npy", values.ids)
    pixels = arrays["train"].images.reshape(-1, channels)
    ChannelStatistics(tuple(pixels.mean(axis=0).tolist()), tuple(pixels.std(axis=0).tolist())).save(
        folder / "statistics.json"
    )
    color = "rgb" if channels == 3 else "grayscale"
    PreprocessingSpec(SIZE, "pad", color, CLASSES).save(folder / "preprocessing.json")  # type: ignore[arg-type]


def data(folder: Path, **options: int) -> TrainingData:
    write_arrays(folder, **options)
    loaded = TrainingData.load(folder)
    assert loaded.digest == arrays_digest([folder / "train", folder / "validation"])
    return loaded


def ignore(result: EpochResult, images_per_second: float) -> None:
    """In place of what records an epoch."""
    assert images_per_second > 0


def augmentation(**changes: Any) -> AugmentationParams:
    off = dict.fromkeys(AugmentationParams.model_fields, 0.0) | {
        "horizontal_flip": False,
        "vertical_flip": False,
    }
    return AugmentationParams(**{**off, **changes})


def baseline(**changes: Any) -> TrainBaselineParams:
    values = {
        **FITTING,
        "network": "dense",
        "input_size": None,
        "widths": (8, 8),
        "dropout": 0.0,
        "epochs": 2,
    }
    return TrainBaselineParams(**{**values, **changes})


def baseline_config(
    lr: float = 0.05,
    batch_size: int = 20,
    seed: int = 0,
    precision: Precision = "float32",
    augmented: AugmentationParams | None = None,
    **changes: Any,
) -> BaselineConfig:
    """`changes` are those of the section."""
    return BaselineConfig(
        seed=seed,
        threads=2,
        precision=precision,
        lr=lr,
        batch_size=batch_size,
        augmentation=augmented or augmentation(),
        train_baseline=baseline(**changes),
    )


def transfer(**changes: Any) -> TrainTransferParams:
    values = {
        **FITTING,
        "backbone": "bundled",
        "weights": "none",
        "input_size": None,
        "head_units": (8,),
        "dropout": 0.2,
        "head_views": 2,
        "unfreeze_from": "all",
        "frozen_batch_norm": False,
        "head_epochs": 2,
        "head_lr_scale": 1.0,
        "fine_tune_epochs": 2,
        "fine_tune_lr_scale": 0.5,
    }
    return TrainTransferParams(**{**values, **changes})


def transfer_config(**changes: Any) -> TransferConfig:
    return TransferConfig(
        seed=0,
        threads=2,
        precision="float32",
        lr=0.05,
        batch_size=20,
        augmentation=augmentation(shift=0.1),
        train_transfer=transfer(**changes),
    )


SPACE: dict[str, Any] = {
    "lr": {"min": 0.01, "max": 0.1, "sampling": "log"},
    "batch_size": {"values": [8, 16]},
    "dropout": {"values": [0, 0.2]},
    "horizontal_flip": {"values": [True, False]},
}


def tune(**changes: Any) -> TuneParams:
    budget = {"max_trials": 3, "trial_epochs": 1, "epochs": 2, "confirm_seeds": 1}
    spaces = {"space": SPACE, "transfer_space": {"lr": SPACE["lr"]}}
    values = {"candidate": "baseline", "method": "random", **budget, **spaces}
    return TuneParams(**{**values, **changes})


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def workspace_with_arrays(folder: Path, **options: int) -> Workspace:
    workspace = Workspace(root=folder, home=folder)
    write_arrays(workspace.arrays, **options)
    return workspace
