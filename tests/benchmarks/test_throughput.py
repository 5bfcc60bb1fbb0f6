"""Throughput: the networks are the same, the counts are right, the table adds up."""

import argparse
from pathlib import Path

import keras
import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from benchmarks.alternation import Measured
from benchmarks.cifar10 import made_data
from benchmarks.keras_network import fast_cnn, tutorial_augmentation
from benchmarks.throughput import add_rows, competitors, peak_rates, peaks, training_macs
from pipeline.networks.from_scratch import build_from_scratch
from pipeline.training.layers import summarize
from tests.benchmarks.conftest import Benchmark

WIDTHS = (8, 16, 16)


@pytest.fixture(scope="module")
def own_network() -> keras.Model:
    data = made_data(10, 1)
    return build_from_scratch("fast_cnn", data.train.images, 10, data.statistics, WIDTHS, dropout=0.0)


def test_the_network_in_plain_keras_is_ours(own_network: keras.Model) -> None:
    """As many weights, and the same work in the same order."""
    plain = fast_cnn(WIDTHS, num_classes=10, side=32, augmentation=())
    assert plain.count_params() == own_network.count_params()
    work = [[each.macs for each in summarize(model) if each.macs] for model in (plain, own_network)]
    assert work[0] == work[1]


def test_layers_that_augment_leave_the_network_trainable() -> None:
    model = fast_cnn(WIDTHS, num_classes=10, side=32, augmentation=tutorial_augmentation())
    images = made_data(4, 1).train.images
    assert np.isfinite(np.asarray(model(images.astype("float32"), training=True))).all()


def test_multiply_accumulates_of_a_training_step(own_network: keras.Model) -> None:
    """By hand, for widths 8, 16, 16: whitening only forward, no gradient for what the first one sees."""
    whitening = 31 * 31 * 2 * 2 * 3 * 24
    first = 31 * 31 * 9 * 24 * 8
    others = (
        15 * 15 * 9 * 8 * 8
        + 15 * 15 * 9 * 8 * 16
        + 7 * 7 * 9 * 16 * 16
        + 7 * 7 * 9 * 16 * 16
        + 3 * 3 * 9 * 16 * 16
        + 16 * 10
    )
    assert training_macs(summarize(own_network)) == whitening + 2 * first + 3 * others


def test_a_row_is_compared_with_the_first_one_of_the_same_round() -> None:
    measured = {
        "pipeline fp32": Measured(
            {"macs": 10_000_000}, [{"images_per_second": speed} for speed in (100, 50, 90)]
        ),
        "torch fp32": Measured({}, [{"images_per_second": speed} for speed in (120, 60, 90)]),
        "peak fp32": Measured({}, [{"gflops": 3.0}, {"gflops": 4.0}]),
        "torch_peak fp32": Measured({}, [{"gflops": 3.6}]),
    }
    assert peaks(measured) == {"fp32": 4.0}
    table = Table(*[str(number) for number in range(7)])
    add_rows(table, 128, measured)
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table)
    lines = [line.replace("│", " ").split() for line in captured.get().splitlines() if "fp32" in line]
    # 90 images per second of 2 * 10 million operations are 1.8 GFLOP/s, 45 % of 4.
    assert lines[0] == ["128", "pipeline", "fp32", "90", "50-100", "1.00", "2", "45"]
    assert lines[1] == ["128", "torch", "fp32", "90", "60-120", "1.20", "2", "45"]


def test_rows_that_have_no_interpreter_are_left_out() -> None:
    options = argparse.Namespace(images=16, widths=WIDTHS, rounds=1, torch_python=None, only=None)
    names = [competitor.name for competitor in competitors(8, options)]
    assert names[0] == "pipeline fp32"
    assert not any("torch" in name for name in names)
    with_torch = argparse.Namespace(**{**vars(options), "torch_python": Path("/a/python")})
    commands = {each.name: each.command for each in competitors(8, with_torch)}
    assert commands["torch bf16"][0] == "/a/python"
    assert "--precision=mixed_bfloat16" in commands["torch bf16"]


def test_peaks_are_measured() -> None:
    rates = peak_rates("float32", side=32, images=1, seconds=0.01)
    assert set(rates) == {"product", "convolution"}
    assert min(rates.values()) > 0


@pytest.mark.slow
def test_the_whole_of_it(benchmark: Benchmark) -> None:
    tiny = ("--batch=8", "--images=16", "--rounds=1", "--widths=8,8,8")
    printed = benchmark(
        "throughput", *tiny, "--only", "pipeline fp32", "keras_tutorial fp32", "keras_at_its_best bf16"
    )
    for row in ("pipeline fp32", "keras tutorial fp32", "keras at its best bf16"):
        assert row in printed
    assert "multiply-accumulates per image" in printed
    assert "PyTorch is left out" in printed
