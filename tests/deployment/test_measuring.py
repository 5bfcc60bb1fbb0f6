"""Speed and compressed size of real files."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.deployment import litert
from pipeline.deployment.measuring import compressed_size, measure_speed
from pipeline.deployment.saved_model import write_bare_saved_model
from pipeline.foundation.errors import PipelineError
from pipeline.training.trained_model import TrainedModel


def test_a_file_is_timed_in_a_process_of_its_own(model: TrainedModel, tmp_path: Path) -> None:
    write_bare_saved_model(model.network, model.card.preprocessing, tmp_path / "bare")
    file, images = tmp_path / "litert_fp32.tflite", tmp_path / "images.npy"
    file.write_bytes(litert.convert_to_float32(tmp_path / "bare"))
    np.save(images, np.zeros((3, *model.card.preprocessing.shape), dtype=np.uint8))

    speed = measure_speed("litert_fp32", file, images)

    assert 0 < speed.latency_ms.median <= speed.latency_ms.p99
    assert speed.latency_ms.median / 1000 < speed.cold_start_seconds < 60
    assert speed.images_per_second > 100


def test_a_file_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    file, images = tmp_path / "litert_fp32.tflite", tmp_path / "images.npy"
    file.write_bytes(b"no model")
    np.save(images, np.zeros((1, 4, 4, 1), dtype=np.uint8))
    with pytest.raises(PipelineError, match=r"litert_fp32\.tflite cannot be used in a new process"):
        measure_speed("litert_fp32", file, images)


def test_the_compressed_size_is_that_of_an_archive(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    (folder / "zeros").write_bytes(bytes(100_000))
    (folder / "below" / "noise").write_bytes(np.random.default_rng(0).bytes(50_000))
    with zipfile.ZipFile(tmp_path / "archive.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "zeros", "folder/zeros")
        archive.write(folder / "below" / "noise", "folder/below/noise")
    assert compressed_size(folder) == (tmp_path / "archive.zip").stat().st_size
    assert compressed_size(folder / "zeros") < 1000
