"""Accuracy over time: which rows there are, what is counted, and the whole on a few images."""

import argparse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.time_to_accuracy import Outcome, left_out, rows
from tests.benchmarks.conftest import Benchmark

OPTIONS = {
    "epochs": [3, 8],
    "tutorial_epochs": 30,
    "precision": "float32",
    "set": ["lr=0.1"],
    "only": None,
    "torch_python": None,
    "hog_python": None,
    "autokeras_python": None,
    "autogluon_python": None,
}


def test_rows_without_an_interpreter_are_named() -> None:
    options = argparse.Namespace(**OPTIONS)
    titles = [row.title for row in rows(Path("arrays"), options)]
    assert titles == ["pipeline, 3 epochs", "pipeline, 8 epochs", "pipeline, transfer", "tutorial, 30 epochs"]
    assert left_out(options) == ["PyTorch", "HOG and linear SVM", "AutoKeras", "AutoGluon"]


def test_pytorch_trains_with_the_settings_of_the_pipeline() -> None:
    options = argparse.Namespace(
        **{**OPTIONS, "torch_python": Path("/a/python"), "hog_python": Path("/b/python")}
    )
    found = {row.title: row.command for row in rows(Path("arrays"), options)}
    assert {"--rate=0.1", "--widths=64,256,256", "--batch=128", "--epochs=8"} <= set(
        found["PyTorch, 8 epochs"]
    )
    assert found["HOG and linear SVM"][0] == "/b/python"
    assert left_out(options) == ["AutoKeras", "AutoGluon"]


def test_the_interval_is_about_the_binomial_one() -> None:
    """1.96 standard deviations of 7,500 of 10,000 are 0.0085."""
    outcome = Outcome(1.0, 2.0, correct=7500, images=10_000, versions={})
    assert outcome.accuracy == 0.75
    assert outcome.interval.low == pytest.approx(0.7415, abs=0.002)
    assert outcome.interval.high == pytest.approx(0.7585, abs=0.002)


@pytest.mark.slow
def test_the_whole_of_it(benchmark: Benchmark, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for subset, count in (("train", 30), ("test", 10)):
        for name, level in (("dark", 0), ("bright", 150)):
            folder = tmp_path / "images" / subset / name
            folder.mkdir(parents=True)
            for number in range(count):
                image = generator.integers(level, level + 100, size=(32, 32, 3), dtype=np.uint8)
                Image.fromarray(image).save(folder / f"{number}.png")
    tiny = (
        "--limit=0",
        "--epochs",
        "1",
        "--tutorial-epochs=1",
        "--set=train_baseline.widths=[8,8]",
        "--set=batch_size=8",
    )
    printed = benchmark(
        *("time_to_accuracy", f"--location={tmp_path / 'images'}", *tiny),
        *("--only", "pipeline, 1 epochs", "tutorial, 1 epochs"),
    )
    assert "pipeline, 1 epochs" in printed
    assert "tutorial, 1 epochs" in printed
    assert "20 test images" in printed
    assert "left out, as no interpreter was given: PyTorch" in printed
