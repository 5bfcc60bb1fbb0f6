"""A project with a really trained network that takes seconds: three classes of 16x16 images."""

import shutil
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pipeline.foundation.files import write_json
from pipeline.foundation.workspace import Workspace
from pipeline.training.candidate import Hardware
from pipeline.training.fit_from_scratch import Setting, fit_from_scratch
from pipeline.training.saving import TrainingFacts, save_trained_model
from pipeline.training.source import TrainingSource
from tests.training.tiny import augmentation, baseline, subset, write_arrays

TEST_IMAGES = 48


def make_project(folder: Path, params: Path, channels: int = 1) -> Workspace:
    """A workspace with arrays, params.yaml and models/baseline, which is the best model."""
    workspace = Workspace(root=folder, home=folder)
    shutil.copy(params, workspace.params)
    write_arrays(workspace.arrays, train=120, validation=30, channels=channels)
    _write_test_subset(workspace.arrays / "test", channels)
    source = TrainingSource.load(workspace.arrays)
    network = baseline(network="fast_cnn", widths=(8, 16), epochs=4)
    setting = Setting(learning_rate=0.05, batch_size=20, network=network, augmentation=augmentation())
    tf.config.run_functions_eagerly(True)  # compiling would take longer than all these steps
    try:
        fitted = fit_from_scratch(
            source, setting, Hardware(0, "float32"), folder / ".resume", lambda result, speed: None
        )
    finally:
        tf.config.run_functions_eagerly(False)
    hyperparameters = {"seed": 0, **setting.to_params()}
    facts = TrainingFacts(
        candidate="baseline",
        stage="train_baseline",
        network="fast_cnn",
        source=source,
        hyperparameters=hyperparameters,
    )
    save_trained_model(workspace.model("baseline"), fitted, facts)
    write_json(workspace.best, {"candidate": "baseline"})
    keras.backend.clear_session()
    return workspace


def _write_test_subset(folder: Path, channels: int) -> None:
    test = subset(TEST_IMAGES, 3, channels)
    folder.mkdir(parents=True)
    for name in ("images", "labels", "ids"):
        np.save(folder / f"{name}.npy", getattr(test, name))
