"""The benchmarks train as `make cifar10` does."""

import subprocess
from pathlib import Path

import numpy as np

from benchmarks.cifar10 import SETTINGS, cifar10_params, made_data


def test_the_settings_are_those_of_the_makefile(project: Path) -> None:
    command = ["make", "-n", "cifar10", "LOCATION=somewhere"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    words = done.stdout.replace("'", "").split()
    given = {words[index + 1] for index, word in enumerate(words) if word == "-S"}
    assert {setting for setting in given if not setting.startswith("tune.")} == set(SETTINGS)


def test_other_settings_come_last() -> None:
    assert cifar10_params("train_baseline.widths=[8]").train_baseline.widths == (8,)


def test_made_images_have_every_class_and_differ_by_it() -> None:
    data = made_data(train=300, validation=20)
    assert (len(data.train), len(data.validation)) == (300, 20)
    means = [data.train.images[data.train.labels == label].mean() for label in range(10)]
    assert means == sorted(means)
    assert np.allclose(data.statistics.mean, 118, atol=12)
