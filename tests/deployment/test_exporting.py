"""The exporting process's work, done in this process: what is written, compared and found out."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.deployment import exporting, litert, saved_model
from pipeline.deployment.exporting import export
from pipeline.deployment.job import ExportJob, ExportResult
from pipeline.deployment.measuring import Speed
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.inference.exported_model import EXACT_FORMATS, FORMATS, Latency
from pipeline.params.whole import load_params
from pipeline.training.trained_model import TrainedModel

MakeJob = Callable[..., ExportJob]


@pytest.fixture(autouse=True)
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timing takes two seconds for each format, and is tested by itself."""
    speed = Speed(Latency(1.0, 2.0), 1000.0, 0.5)
    monkeypatch.setattr(exporting, "measure_speed", lambda *arguments: speed)


@pytest.fixture
def make_job(trained_project: Workspace, tmp_path: Path) -> MakeJob:
    def make(*formats: str, **changes: Any) -> ExportJob:
        params = load_params(trained_project.params)
        (tmp_path / "files").mkdir(exist_ok=True)
        return ExportJob(
            model=trained_project.model("baseline"),
            arrays=trained_project.arrays,
            files=tmp_path / "files",
            saved_model=tmp_path / "saved_model",
            formats=formats,
            export=params.export.model_copy(update={"calibration_images": 60, **changes}),
            evaluate=params.evaluate,
            seed=0,
            threads=1,
        )

    return make


def failures(result: ExportResult) -> dict[str, list[str]]:
    return {name: [check.name for check in each.failed] for name, each in result.formats.items()}


def test_all_formats_of_a_trained_network_agree_with_it(
    make_job: MakeJob, model: TrainedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = export(make_job(*FORMATS))
    lines = capsys.readouterr().out.splitlines()

    assert failures(result) == {name: [] for name in FORMATS}
    assert list(result.formats) == list(FORMATS)
    for name, each in result.formats.items():
        assert each.file.size_bytes > each.file.compressed_bytes > 0
        limit = 1e-4 if name in EXACT_FORMATS else 1.0
        assert each.file.largest_difference <= limit, name
        written = "saved_model" if name == "saved_model" else f"files/{each.file.path}"
        assert (tmp_path / written).exists()
        assert any(line.startswith(f"{name}: written") and line.endswith("passed") for line in lines)
    # Half of its weights are zeros, which take no room in an archive.
    pruned, dense = (result.formats[name].file for name in ("litert_pruned_fp32", "litert_fp32"))
    assert pruned.size_bytes == dense.size_bytes
    assert pruned.compressed_bytes < 0.9 * dense.compressed_bytes  # and much less of a larger network's

    ExportResult.save(result, tmp_path / "result.json")
    assert ExportResult.load(tmp_path / "result.json") == result


def test_the_original_has_the_scores_that_evaluate_gives_it(make_job: MakeJob, model: TrainedModel) -> None:
    job = make_job("litert_fp32")
    test = job.arrays / "test"
    labels = np.load(test / "labels.npy")
    right = model.predict(np.load(test / "images.npy"), 64).argmax(axis=1) == labels
    scores = export(job).scores
    assert scores.accuracy == pytest.approx(right.mean(), abs=1e-6)
    assert scores.accuracy_low <= scores.accuracy <= scores.accuracy_high
    assert (scores.images, scores.confidence) == (48, 0.95)


def test_weights_that_changed_after_the_conversion_are_found(
    make_job: MakeJob, model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = np.moveaxis(model.network.get_layer("block1_conv").get_weights()[0], -1, 0)  # LiteRT's order
    convert = litert.convert_to_float32

    def damaged(folder: Path) -> bytes:
        content = convert(folder)
        assert kernel.tobytes() in content
        return content.replace(kernel.tobytes(), (kernel * np.float32(1.01)).tobytes())

    monkeypatch.setattr(litert, "convert_to_float32", damaged)
    result = export(make_job("litert_fp32", "litert_dynamic_int8"))
    found = failures(result)
    assert found["litert_dynamic_int8"] == []
    assert {"largest difference, test subset", "largest difference, encoded images"} <= set(
        found["litert_fp32"]
    )


def test_a_quantized_model_that_loses_images_is_found(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    black = np.zeros((1, 16, 16, 1), dtype=np.uint8)  # ranges taken from it are far too small
    monkeypatch.setattr(litert, "calibration_images", lambda *arguments: black)
    result = export(make_job("litert_int8"))
    assert "images lost, test subset" in failures(result)["litert_int8"]


def test_a_saved_model_that_prepares_images_in_another_way_is_found(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels go past the preparation and agree; only encoded images show it."""
    write = saved_model.write_saved_model

    def stretching(network: Any, spec: Any, folder: Path) -> None:
        write(network, replace(spec, resize="stretch"), folder)

    monkeypatch.setattr(exporting, "write_saved_model", stretching)
    found = failures(export(make_job("saved_model")))["saved_model"]
    assert "largest difference, encoded images" in found
    assert not any("test subset" in name for name in found)


def test_what_a_converter_refuses_is_an_error_that_names_the_format(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> bytes:
        raise ValueError("no such operator\nwith a long story")

    monkeypatch.setattr(exporting, "convert_to_onnx", refuse)
    with pytest.raises(PipelineError, match=r"cannot be converted to onnx") as caught:
        export(make_job("onnx"))
    assert caught.value.found == "no such operator"


def test_a_job_survives_its_file(make_job: MakeJob, tmp_path: Path) -> None:
    job = make_job("onnx", "litert_int8")
    job.save(tmp_path / "job.json")
    assert ExportJob.load(tmp_path / "job.json") == job


def test_what_starts_the_process_needs_no_tensorflow() -> None:
    modules = ["job", "measuring", "parity"]
    program = "\n".join(
        [
            "import importlib, sys",
            f"for name in {modules!r}: importlib.import_module('pipeline.deployment.' + name)",
            "print({'tensorflow', 'keras', 'mlflow'} & set(sys.modules))",
        ]
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
