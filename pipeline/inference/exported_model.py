"""An exported model as a folder: one file per format, and export.json, which says all there is to know.

    <folder>/export.json
    <folder>/litert_fp32.tflite, litert_fp16.tflite, litert_dynamic_int8.tflite, litert_int8.tflite
    <folder>/litert_pruned_fp32.tflite, litert_pruned_dynamic_int8.tflite
    <folder>/onnx.onnx

Predicting needs this folder and nothing else of the project's data. The SavedModel lies apart, in a folder as
TensorFlow Serving needs it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.foundation.digests import digest_file
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import write_json
from pipeline.foundation.workspace import CANDIDATES
from pipeline.inference.preprocessing import PreprocessingSpec

EXPORT_FILE = "export.json"
POINTER_FILE = "published.json"
"""In the folder of all exports; its content names the one that was published last."""
_LONGEST_NAME = 250  # characters
PRUNED_FORMATS = ("litert_pruned_fp32", "litert_pruned_dynamic_int8")
LITERT_FORMATS = ("litert_fp32", "litert_fp16", "litert_dynamic_int8", "litert_int8", *PRUNED_FORMATS)
ONNX_FORMAT = "onnx"
SAVED_MODEL_FORMAT = "saved_model"
EXACT_FORMATS = (SAVED_MODEL_FORMAT, "litert_fp32", ONNX_FORMAT)
"""They compute in float32, as the original does."""
FORMATS = (SAVED_MODEL_FORMAT, ONNX_FORMAT, *LITERT_FORMATS)
_PUBLISH = "python -m pipeline export"


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one image, one thread."""

    median: float
    p99: float


@dataclass(frozen=True)
class ExportedFile:
    """One format of an exported model.

    Attributes:
      path: relative to the folder of export.json.
      digest: SHA-256 of the file; of a SavedModel, over the digests of its files.
      size_bytes: of the file, or of all files.
      compressed_bytes: of a ZIP archive of it.
      accuracy: on the test subset, share of images.
      largest_difference: of any probability on the test subset, to the float32 Keras model.
      images_per_second: in batches, one thread.
      cold_start_seconds: of a new process, until it has its first prediction.
    """

    path: str
    digest: str
    size_bytes: int
    compressed_bytes: int
    accuracy: float
    largest_difference: float
    latency_ms: Latency
    images_per_second: float
    cold_start_seconds: float

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "ExportedFile":
        """Of what `asdict` has made."""
        return cls(**{**values, "latency_ms": Latency(**values["latency_ms"])})


@dataclass(frozen=True)
class ExportedScores:
    """Of a model on the test subset; the interval of the accuracy has this confidence."""

    accuracy: float
    accuracy_low: float
    accuracy_high: float
    images: int
    confidence: float


@dataclass(frozen=True)
class ExportedModel:
    """What export.json says.

    Attributes:
      name: of the registered model, or of the candidate.
      version: its version in the registry, or counted up for each new model of a candidate; above 0.
      candidate: baseline, transfer or tuned.
      network: name of the network or of the backbone.
      model_digest: SHA-256 of the model.keras that was exported.
      preprocessing: how an image becomes an input, and the names of the classes.
      scores: of the original.
      lineage: tags of the run that trained it, as far as they are known, and its run_id.
      files: by format.
    """

    name: str
    version: int
    candidate: str
    network: str
    model_digest: str
    preprocessing: PreprocessingSpec
    scores: ExportedScores
    lineage: dict[str, str]
    files: dict[str, ExportedFile]

    @property
    def original(self) -> str:
        """The model that was exported, as people name it to commands."""
        return _original(self.name, str(self.version), self.lineage.get("run_id", ""))

    def save(self, folder: Path) -> None:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["preprocessing"] = self.preprocessing.to_json()
        values["scores"] = asdict(self.scores)
        values["files"] = {name: asdict(file) for name, file in self.files.items()}
        write_json(folder / EXPORT_FILE, values)

    @classmethod
    def load(cls, folder: Path) -> "ExportedModel":
        """Raises PipelineError where export.json is missing or is not one."""
        again = _again(_original(folder.parent.name, folder.name))
        values: Any = _read_json(_require(folder / EXPORT_FILE, again), again)
        try:
            values["preprocessing"] = PreprocessingSpec.from_json(values["preprocessing"])
            values["scores"] = ExportedScores(**values["scores"])
            values["files"] = {name: ExportedFile.from_json(file) for name, file in values["files"].items()}
            return cls(**values)
        except (KeyError, TypeError, AttributeError) as error:
            raise PipelineError(
                f"{folder / EXPORT_FILE} does not describe an exported model.",
                found=repr(error),
                remedy=again,
            ) from error

    def file(self, folder: Path, format_name: str) -> Path:
        """The file of a format. Raises PipelineError where it is missing or not what was exported."""
        if format_name not in self.files:
            raise PipelineError(
                f"{self.name} version {self.version} was not exported as {format_name}.",
                expected=format_name,
                found=", ".join(self.files) or "no format",
                remedy=f"python -m pipeline export {self.original} --format {format_name}",
            )
        path = _require(folder / self.files[format_name].path, _again(self.original))
        if path.is_file() and digest_file(path) != self.files[format_name].digest:
            raise PipelineError(
                f"{path} is not the file that was exported.",
                expected=f"SHA-256 {self.files[format_name].digest}",
                found="other bytes",
                remedy=_again(self.original),
            )
        return path


def exports_below(exports: Path) -> list[Path]:
    """Every folder `<name>/<version>/` with an export.json, the one exported last at the end."""
    found = exports.glob(f"*/*/{EXPORT_FILE}")
    return [path.parent for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]


def latest_export(folder: Path) -> Path | None:
    """A folder itself if it is that of an export, else its latest version; None where it has neither."""
    if (folder / EXPORT_FILE).is_file():
        return folder
    versions = [path.parent for path in folder.glob(f"*/{EXPORT_FILE}") if path.parent.name.isdecimal()]
    return max(versions, key=lambda version: int(version.name), default=None)


def serving_folder(exports: Path, name: str, version: int) -> Path:
    """Where the SavedModel lies: `exports/tensorflow_serving/` is what TensorFlow Serving is given."""
    return exports / "tensorflow_serving" / name / str(version)


def publish(exports: Path, folder: Path) -> None:
    """Make `folder`, below `exports`, the one that `predict` and `serve` start from."""
    write_json(exports / POINTER_FILE, {"folder": folder.relative_to(exports).as_posix()})


def published(exports: Path) -> Path:
    """The folder that was published last. Raises PipelineError where there is none."""
    if not (exports / POINTER_FILE).exists():
        raise PipelineError(
            "No model has been published here yet.",
            expected=f"{exports / POINTER_FILE}, which an export writes",
            remedy=_PUBLISH,
        )
    values = _read_json(exports / POINTER_FILE, _PUBLISH)
    named = values.get("folder") if isinstance(values, dict) else None
    if not isinstance(named, str) or not _is_below(named):
        raise PipelineError(
            f"{exports / POINTER_FILE} does not name an exported model.",
            expected='{"folder": "<name>/<version>"}',
            found=repr(named)[:200],
            remedy=_PUBLISH,
        )
    return exports / named


def _is_below(named: str) -> bool:
    """Whether it names an export: who can write the pointer shall not have any other folder served."""
    name, _, version = named.partition("/")
    letters = name.isprintable() and len(name) <= _LONGEST_NAME and not set(name) & {"/", "\\"}
    return letters and name not in ("", ".", "..") and version.isascii() and version.isdecimal()


def _original(name: str, version: str, run_id: str = "") -> str:
    """The model behind exports/<name>/<version>, as people name it to commands."""
    if name in CANDIDATES:
        return run_id or name
    return f"models:/{name}/{version}" if version.isdecimal() else "MODEL"  # a folder that was copied


def _again(model: str) -> str:
    return f"export the model again: python -m pipeline export {model}"


def _read_json(path: Path, remedy: str) -> Any:
    """Unlike `read_json`, which is for what stages write, it sends people to `export`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no UTF-8
        raise PipelineError(
            f"{path} is not valid JSON.",
            found=str(error),
            remedy=remedy,
        ) from error


def _require(path: Path, remedy: str) -> Path:
    """`path` itself; raises PipelineError where it is missing."""
    if not path.exists():
        raise PipelineError(
            f"{path} is missing.",
            expected="a folder that 'python -m pipeline export' has written",
            remedy=remedy,
        )
    return path
