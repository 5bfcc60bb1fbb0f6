"""Exported files in LiteRT and ONNX Runtime, on a network whose answers are known by heart."""

import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.foundation.array_types import Float64, UInt8
from pipeline.foundation.errors import PipelineError
from pipeline.inference.exported_model import ExportedModel
from pipeline.inference.predictor import LiteRtPredictor, load_predictor, open_predictor, preferred_format
from tests.serving.tiny_model import CLASSES, SIZE, describe, export, probabilities_of


def images(*levels: int) -> UInt8[np.ndarray, "n h w 3"]:
    return np.array(levels, np.uint8)[:, None, None, None] * np.ones((1, SIZE, SIZE, 3), np.uint8)


def expected(*levels: int) -> Float64[np.ndarray, "n k"]:
    return np.array([[probabilities_of(level)[name] for name in CLASSES] for level in levels])


@pytest.fixture(scope="module")
def tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network of tests.serving.tiny_model as a LiteRT file."""
    import tensorflow as tf

    def probabilities(image: tf.Tensor) -> dict[str, tf.Tensor]:
        bright = tf.reduce_mean(tf.cast(image, tf.float32), axis=(1, 2, 3))[:, None] / 255
        return {"probabilities": tf.concat([bright, 1 - bright, 0 * bright], axis=1)}

    folder = tmp_path_factory.mktemp("tflite")
    served = tf.function(probabilities, [tf.TensorSpec((None, SIZE, SIZE, 3), tf.uint8, "image")])
    tf.saved_model.save(tf.Module(), str(folder / "saved"), signatures={"serving_default": served})
    file = folder / "litert_fp32.tflite"
    file.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder / "saved")).convert())
    return file


def test_litert_predicts_one_image_or_many(tflite: Path) -> None:
    predictor = LiteRtPredictor(tflite, threads=1)
    for levels in ((0, 51, 255), (102,), (7, 8, 9, 10, 11)):
        found = predictor.predict(images(*levels))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected(*levels), atol=1e-6)


def test_what_litert_returned_stays_when_it_predicts_again(tflite: Path) -> None:
    predictor = LiteRtPredictor(tflite, threads=1)
    first = predictor.predict(images(0))
    predictor.predict(images(255))
    np.testing.assert_allclose(first, expected(0), atol=1e-6)


def test_litert_takes_images_that_are_a_view(tflite: Path) -> None:
    every_other = images(0, 1, 255, 3)[::2]
    found = LiteRtPredictor(tflite, threads=1).predict(every_other)
    np.testing.assert_allclose(found, expected(0, 255), atol=1e-6)


def test_onnx_runtime_predicts_one_image_or_many(tmp_path: Path) -> None:
    predictor = open_predictor(export(tmp_path) / "onnx.onnx", "onnx", threads=1)
    for levels in ((0, 51, 255), (102,)):
        np.testing.assert_allclose(predictor.predict(images(*levels)), expected(*levels), atol=1e-6)


def test_the_format_decides_on_the_runtime(tflite: Path) -> None:
    describe(tflite.parent, "light", 1, {"litert_fp32": tflite}, CLASSES, SIZE)
    exported = ExportedModel.load(tflite.parent)
    predictor = load_predictor(exported, tflite.parent, "litert_fp32")
    assert isinstance(predictor, LiteRtPredictor)


def test_without_onnx_runtime_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as if it were not installed
    with pytest.raises(PipelineError, match="needs ONNX Runtime, which is not installed") as refused:
        open_predictor(tmp_path / "onnx.onnx", "onnx")
    assert "install onnxruntime" in str(refused.value)


def test_a_format_without_a_runtime_says_where_it_runs() -> None:
    with pytest.raises(PipelineError, match="start TensorFlow Serving"):
        open_predictor(Path("folder"), "saved_model")


def exported_as(folder: Path, *formats: str) -> ExportedModel:
    exported = ExportedModel.load(export(folder))
    return replace(exported, files=dict.fromkeys(formats, exported.files["onnx"]))


@pytest.mark.parametrize(
    ("formats", "preferred"),
    [
        (("saved_model", "onnx", "litert_int8", "litert_fp32"), "litert_fp32"),
        (("saved_model", "litert_fp16", "onnx"), "onnx"),
        (("litert_pruned_fp32", "litert_int8", "litert_fp16"), "litert_fp16"),
        (("litert_pruned_fp32", "saved_model"), "litert_pruned_fp32"),
    ],
)
def test_exact_formats_come_first_and_pruned_ones_last(
    tmp_path: Path, formats: tuple[str, ...], preferred: str
) -> None:
    assert preferred_format(exported_as(tmp_path, *formats)) == preferred


def test_an_export_that_nothing_here_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="No format of this export can be run here") as caught:
        preferred_format(exported_as(tmp_path, "saved_model"))
    assert caught.value.remedy == "python -m pipeline export models:/light/1"


def test_the_terminal_stays_silent_and_tensorflow_away(tflite: Path, project: Path) -> None:
    program = f"""
        import sys
        from pathlib import Path
        from pipeline.inference.predictor import LiteRtPredictor
        import numpy as np
        LiteRtPredictor(Path({str(tflite)!r}), 1).predict(np.zeros((1, {SIZE}, {SIZE}, 3), np.uint8))
        assert not {{"tensorflow", "keras", "mlflow", "pandas", "sklearn"}} & set(sys.modules)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_onnx_runtime_reports_to_nobody(tmp_path: Path, project: Path) -> None:
    """With its telemetry on, it keeps an identifier of the device and a database below the home folder."""
    file, home = export(tmp_path / "exports") / "onnx.onnx", tmp_path / "home"
    home.mkdir()
    program = f"""
        from pathlib import Path
        from pipeline.inference.predictor import OnnxPredictor
        import numpy as np
        OnnxPredictor(Path({str(file)!r}), 1).predict(np.zeros((1, {SIZE}, {SIZE}, 3), np.uint8))
    """
    # Of an ordinary person: under CI and in unit tests it is silent by itself.
    watched = ("CI", "GITHUB", "PYTEST", "ORT", "XDG")
    ordinary = {name: value for name, value in os.environ.items() if not name.startswith(watched)}
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**ordinary, "PYTHONPATH": str(project), "HOME": str(home)},
        check=True,
    )
    assert list(home.rglob("*")) == []
