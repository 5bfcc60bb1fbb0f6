"""Batches of every row hold changed images, and their cost is measured."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from benchmarks import input_pipeline
from benchmarks.cifar10 import made_data
from pipeline.params.augmentation import AugmentationParams
from tests.benchmarks.conftest import Benchmark


def test_every_kind_of_change_is_measured() -> None:
    assert set(input_pipeline.KINDS) == set(AugmentationParams.model_fields)


@pytest.mark.parametrize("batches", [input_pipeline.tf_image_batches, input_pipeline.keras_layer_batches])
def test_the_others_change_images_as_well(batches: Any) -> None:
    data = made_data(32, 1)
    images, targets = next(batches(data, 16)())
    assert images.shape == (16, 32, 32, 3)
    assert np.asarray(targets).sum(axis=1).tolist() == [1.0] * 16
    originals = {image.tobytes() for image in data.train.images}
    changed = [image for image in np.asarray(images) if image.astype(np.uint8).tobytes() not in originals]
    assert len(changed) > 12


def test_cost_is_per_image() -> None:
    def sleeping() -> Iterator[None]:
        time.sleep(0.02)
        yield

    wall, cpu = input_pipeline.cost(sleeping, images=10)
    assert wall >= 2000
    assert cpu < wall


@pytest.mark.slow
def test_the_whole_of_it(benchmark: Benchmark) -> None:
    printed = benchmark("input_pipeline", "--batch=4", "--images=8", "--step-images=4", "--rounds=1")
    for row in ("random_erasing", "make cifar10", "tf.data and tf.image", "Keras' layers in tf.data"):
        assert row in printed
