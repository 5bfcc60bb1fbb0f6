"""What the command asks of the exporting process, and what that answers; both as JSON. No TensorFlow."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.deployment.parity import Check
from pipeline.foundation.files import read_json, write_json
from pipeline.inference.exported_model import ExportedFile, ExportedScores
from pipeline.params.evaluate import EvaluateParams
from pipeline.params.export import ExportParams
from pipeline.processes.child_process import Say, run_job

_PROGRAM = "pipeline.deployment.exporting"


@dataclass(frozen=True, kw_only=True)
class ExportJob:
    """A network to export.

    Attributes:
      model: folder of model.keras and card.json.
      arrays: folder of the train, validation and test arrays.
      files: folder to write the files of the formats to.
      saved_model: folder to write the SavedModel to.
      formats: which ones.
      export: limits of the checks, calibration and pruning.
      evaluate: how the accuracy of the original and its interval are computed.
      seed: of the interval's resamples and of the choice of calibration images.
      threads: of every runtime while it is checked; speed is measured with one.
    """

    model: Path
    arrays: Path
    files: Path
    saved_model: Path
    formats: tuple[str, ...]
    export: ExportParams
    evaluate: EvaluateParams
    seed: int
    threads: int

    def save(self, path: Path) -> None:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("model", "arrays", "files", "saved_model"):
            values[name] = str(values[name])
        for name in ("export", "evaluate"):
            values[name] = values[name].model_dump(mode="json")
        write_json(path, values)

    @classmethod
    def load(cls, path: Path) -> "ExportJob":
        values: dict[str, Any] = read_json(path)
        for name in ("model", "arrays", "files", "saved_model"):
            values[name] = Path(values[name])
        values["formats"] = tuple(values["formats"])
        values["export"] = ExportParams(**values["export"])
        values["evaluate"] = EvaluateParams(**values["evaluate"])
        return cls(**values)

    def run(self, say: Say) -> "ExportResult":
        """Do it in a process of its own; `say` is told, line by line, how far it is. Raises PipelineError."""
        return run_job(_PROGRAM, "exporting", self, ExportResult.load, say)


@dataclass(frozen=True)
class FormatResult:
    """One format: what was written and measured, and the checks it had to pass."""

    file: ExportedFile
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if not check.passed)


@dataclass(frozen=True)
class ExportResult:
    """All formats of a network.

    Attributes:
      scores: of the original.
      formats: by name.
    """

    scores: ExportedScores
    formats: dict[str, FormatResult]

    def save(self, path: Path) -> None:
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "ExportResult":
        values = read_json(path)
        formats = {
            name: FormatResult(
                ExportedFile.from_json(each["file"]), tuple(Check(**check) for check in each["checks"])
            )
            for name, each in values["formats"].items()
        }
        return cls(ExportedScores(**values["scores"]), formats)
