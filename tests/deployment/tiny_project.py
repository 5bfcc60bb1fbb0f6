"""A project with a really trained network that takes seconds: three classes of 16x16 images."""

import shutil
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pipeline.foundation.files import write_json
from pipeline.foundation.workspace import Workspace
from pipeline.networks.from_scratch import fit_from_scratch
from pipeline.training.data import TrainingData
from pipeline.training.saving import save_trained_model
from tests.training.tiny import baseline_config, ignore, subset, write_arrays

TEST_IMAGES = 48


def make_project(folder: Path, params: Path, channels: int = 1) -> Workspace:
    """A workspace with arrays, params.yaml and models/baseline, which is the best model."""
    workspace = Workspace(root=folder, home=folder)
    shutil.copy(params, workspace.params)
    write_arrays(workspace.arrays, train=120, validation=30, channels=channels)
    _write_test_subset(workspace.subset("test"), channels)
    data = TrainingData.load(workspace.arrays)
    config = baseline_config(network="fast_cnn", widths=(8, 16), epochs=4)
    tf.config.run_functions_eagerly(True)  # compiling would take longer than all these steps
    try:
        fitted = fit_from_scratch(data, config, folder / ".resume", ignore)
    finally:
        tf.config.run_functions_eagerly(False)
    save_trained_model(workspace.model("baseline"), fitted, data, "baseline", "train_baseline")
    write_json(workspace.best, {"candidate": "baseline"})
    keras.backend.clear_session()
    return workspace


def _write_test_subset(folder: Path, channels: int) -> None:
    test = subset(TEST_IMAGES, 3, channels)
    folder.mkdir(parents=True)
    for name in ("images", "labels", "ids"):
        np.save(folder / f"{name}.npy", getattr(test, name))
