"""Exports a network as a process of its own: writes every format, then compares it with the original.

python -m pipeline.deployment.exporting JOB.json RESULT.json
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.deployment import litert
from pipeline.deployment.job import ExportJob, ExportResult, FormatResult
from pipeline.deployment.measuring import compressed_size, measure_speed
from pipeline.deployment.onnx import convert_to_onnx
from pipeline.deployment.parity import (
    Answers,
    Check,
    accuracy_checks,
    encoded_copies,
    exact_checks,
    spread,
)
from pipeline.deployment.pruning import prune
from pipeline.deployment.saved_model import SavedModelPredictor, write_bare_saved_model, write_saved_model
from pipeline.foundation.array_types import Float32, UInt8
from pipeline.foundation.digests import digest_file, digest_json
from pipeline.foundation.errors import PipelineError
from pipeline.images.arrays import ImageArrays
from pipeline.images.parallel import with_progress
from pipeline.inference.exported_model import (
    EXACT_FORMATS,
    ONNX_FORMAT,
    SAVED_MODEL_FORMAT,
    ExportedFile,
    ExportedScores,
)
from pipeline.inference.predictor import Predictor, open_predictor
from pipeline.processes.child_process import do_job
from pipeline.scoring.predictions import Predictions, require_finite
from pipeline.scoring.scores import rounded, score
from pipeline.training.data import TrainingData
from pipeline.training.trained_model import TrainedModel, predict

_BATCH_SIZE = 32
"""Images that a format predicts at once while it is compared: small, for networks with large images."""
_SPEED_IMAGES = 200


def export(job: ExportJob) -> ExportResult:
    """Write and compare every format of `job`.

    Raises PipelineError where the model, or a file made of it, cannot be used.
    """
    _say("loading the network")
    model = TrainedModel.load(job.model)
    test = ImageArrays.load(job.arrays / "test")
    _say(f"predicting {len(test):,} test images with the original")
    original = require_finite(model.predict(test.images, job.evaluate.batch_size), str(job.model))
    with tempfile.TemporaryDirectory() as scratch:
        writer = _Writer(job, model, Path(scratch))
        comparison = _Comparison(job, model, test, original, Path(scratch))
        formats = {}
        for name in job.formats:
            began = time.monotonic()
            file = writer.write(name)
            written = time.monotonic()
            formats[name] = comparison.result(name, file)
            verdict = "failed" if formats[name].failed else "passed"
            _say(
                f"{name}: written in {written - began:.1f} s, "
                f"compared and timed in {time.monotonic() - written:.1f} s: {verdict}"
            )
    return ExportResult(_scores(test, original, job), formats)


def _scores(test: ImageArrays, original: Float32[np.ndarray, "n k"], job: ExportJob) -> ExportedScores:
    scores = score(Predictions(original, test.labels, test.ids), job.evaluate, job.seed)
    return ExportedScores(
        accuracy=rounded(scores.accuracy),
        accuracy_low=rounded(scores.accuracy_interval.low),
        accuracy_high=rounded(scores.accuracy_interval.high),
        images=scores.images,
        confidence=job.evaluate.confidence,
    )


class _Writer:
    """Writes the formats; what several of them are made from is made once."""

    def __init__(self, job: ExportJob, model: TrainedModel, scratch: Path) -> None:
        self._job = job
        self._model = model
        self._spec = model.card.preprocessing
        self._scratch = scratch

    def write(self, format_name: str) -> Path:
        """The file of a format, or the folder of the SavedModel. Raises PipelineError."""
        if format_name == SAVED_MODEL_FORMAT:
            write_saved_model(self._model.network, self._spec, self._job.saved_model)
            return self._job.saved_model
        extension = "onnx" if format_name == ONNX_FORMAT else "tflite"
        file = self._job.files / f"{format_name}.{extension}"
        try:
            file.write_bytes(self._content(format_name))
        except (ValueError, RuntimeError) as error:  # what the converters raise
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise PipelineError(
                f"The network cannot be converted to {format_name}.",
                found=lines[0][:200],
                remedy="name the formats that you need with --format, without this one",
            ) from error
        return file

    def _content(self, format_name: str) -> bytes:
        match format_name:
            case "onnx":
                return convert_to_onnx(self._model.network, self._spec)
            case "litert_fp32":
                return litert.convert_to_float32(self._bare)
            case "litert_fp16":
                return litert.convert_to_float16(self._bare)
            case "litert_dynamic_int8":
                return litert.convert_to_dynamic_int8(self._bare)
            case "litert_int8":
                return litert.convert_to_int8(self._bare, self._calibration)
            case "litert_pruned_fp32":
                return litert.convert_to_float32(self._pruned)
            case "litert_pruned_dynamic_int8":
                return litert.convert_to_dynamic_int8(self._pruned)
        raise AssertionError(format_name)

    @cached_property
    def _bare(self) -> Path:
        folder = self._scratch / "bare"
        write_bare_saved_model(self._model.network, self._spec, folder)
        return folder

    @cached_property
    def _pruned(self) -> Path:
        folder = self._scratch / "pruned"
        network = TrainedModel.load(self._job.model).network
        _say(f"pruning {self._job.export.sparsity:.0%} of the weights, then fine-tuning the others")
        prune(network, self._model.card, self._source, self._job.export)
        write_bare_saved_model(network, self._spec, folder)
        return folder

    @property
    def _calibration(self) -> UInt8[np.ndarray, "m h w c"]:
        count = self._job.export.calibration_images
        return litert.calibration_images(self._source.train, self._source.num_classes, count, self._job.seed)

    @cached_property
    def _source(self) -> TrainingData:
        return TrainingData.load(self._job.arrays)


class _Comparison:
    """Runs files over the test subset and over encoded images of it, and measures them."""

    def __init__(
        self,
        job: ExportJob,
        model: TrainedModel,
        test: ImageArrays,
        original: Float32[np.ndarray, "n k"],
        scratch: Path,
    ) -> None:
        self._job = job
        self._test = test
        self._original = original
        rows = spread(len(test))
        self._encoded_labels = test.labels[rows]
        self._encoded = list(encoded_copies(test.images[rows]))
        # The path by which images came to the original when it was evaluated.
        self._prepared = np.stack([model.card.preprocessing.apply(data) for data in self._encoded])
        self._original_of_encoded = predict(model.network, self._prepared, job.evaluate.batch_size)
        self._speed_images = scratch / "images.npy"
        np.save(self._speed_images, test.images[:_SPEED_IMAGES])

    def result(self, format_name: str, file: Path) -> FormatResult:
        """Raises PipelineError where a new process cannot use the file."""
        pixels, encoded = self._answers(format_name, file)
        speed = measure_speed(format_name, file, self._speed_images)
        exported = ExportedFile(
            path=file.name,
            digest=_digest(file),
            size_bytes=_size(file),
            compressed_bytes=compressed_size(file),
            accuracy=rounded(pixels.accuracy),
            largest_difference=float(f"{pixels.largest_difference:.3g}"),
            latency_ms=speed.latency_ms,
            images_per_second=speed.images_per_second,
            cold_start_seconds=speed.cold_start_seconds,
        )
        return FormatResult(exported, self._checks(format_name, pixels, encoded))

    def _answers(self, format_name: str, file: Path) -> tuple[Answers, Answers]:
        """About the test subset, and about encoded images by the format's own way to pixels."""
        predictor: Predictor
        doing = f"  {format_name}: comparing, batches of {_BATCH_SIZE} images"
        if format_name == SAVED_MODEL_FORMAT:
            predictor = saved_model = SavedModelPredictor(file)
            of_encoded = _in_batches(saved_model.predict_encoded, self._encoded, doing)
        else:
            predictor = open_predictor(file, format_name, self._job.threads)
            of_encoded = _in_batches(predictor.predict, self._prepared, doing)
        of_pixels = _in_batches(predictor.predict, self._test.images, doing)
        return (
            Answers(self._test.labels, self._original, of_pixels),
            Answers(self._encoded_labels, self._original_of_encoded, of_encoded),
        )

    def _checks(self, format_name: str, pixels: Answers, encoded: Answers) -> tuple[Check, ...]:
        pairs = (("test subset", pixels), ("encoded images", encoded))
        if format_name in EXACT_FORMATS:
            return tuple(check for images, answers in pairs for check in exact_checks(answers, images))
        return tuple(
            check for images, answers in pairs for check in accuracy_checks(answers, images, self._job.export)
        )


def _in_batches(
    predicting: Callable[[Any], Float32[np.ndarray, "n k"]],
    images: UInt8[np.ndarray, "n h w c"] | Sequence[bytes],
    doing: str,
) -> Float32[np.ndarray, "n k"]:
    """What a format says about all images."""
    batches = [images[start : start + _BATCH_SIZE] for start in range(0, len(images), _BATCH_SIZE)]
    return np.concatenate([predicting(batch) for batch in with_progress(batches, len(batches), doing)])


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path))


def _digest(path: Path) -> str:
    """SHA-256 of a file; of a folder, over the names and digests of its files."""
    if path.is_file():
        return digest_file(path)
    return digest_json({file.relative_to(path).as_posix(): digest_file(file) for file in _files(path)})


def _say(line: str) -> None:
    print(line, flush=True)


def _do(job: ExportJob, result: Path) -> None:
    # Before its first operation, when TensorFlow makes its pools.
    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    tf.config.threading.set_inter_op_parallelism_threads(job.threads)
    export(job).save(result)


if __name__ == "__main__":
    sys.exit(do_job(ExportJob.load, _do))
