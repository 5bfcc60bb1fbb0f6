"""What the command `explain` asks of the explaining process, and what that answers. No TensorFlow."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.foundation.array_types import Float32
from pipeline.foundation.files import read_json, write_json
from pipeline.params.evaluate import HeatmapMethod
from pipeline.processes.child_process import Say, run_job
from pipeline.scoring.explanations import UsedMethod

_PROGRAM = "pipeline.explanation.process"
_PATHS = ("model", "images", "probabilities", "heatmaps")


@dataclass(frozen=True, kw_only=True)
class ExplainJob:
    """Images to explain.

    Attributes:
      model: folder of model.keras and card.json.
      images: an npy file to read, uint8 (N or more, height, width, channels).
      count: N, at least 1; what follows after so many images is not an image.
      probabilities: an npy file to write, float32 (N, K).
      heatmaps: an npy file to write, float32 (N, h, w), 0 to 1.
      method: of the heatmaps.
      layer: of the heatmaps, "auto" or by name.
      label: the class that is asked for; None for each image's most probable one.
      batch_size: images per prediction step.
      threads: of TensorFlow.
    """

    model: Path
    images: Path
    count: int
    probabilities: Path
    heatmaps: Path
    method: HeatmapMethod
    layer: str
    label: int | None
    batch_size: int
    threads: int

    def save(self, path: Path) -> None:
        write_json(path, asdict(self) | {name: str(getattr(self, name)) for name in _PATHS})

    @classmethod
    def load(cls, path: Path) -> "ExplainJob":
        values: dict[str, Any] = read_json(path)
        return cls(**(values | {name: Path(values[name]) for name in _PATHS}))

    def run(self, say: Say) -> "ExplainResult":
        """Do it in a process of its own; `say` is told, line by line, how far it is. Raises PipelineError."""
        return run_job(_PROGRAM, "explaining", self, lambda result: ExplainResult.load(self, result), say)


@dataclass(frozen=True)
class ExplainResult:
    """The images of a job, explained.

    Attributes:
      method: of the heatmaps, as Explanations have it.
      layer: of the heatmaps, as Explanations have it.
      heatmaps: 0 to 1.
    """

    method: UsedMethod
    layer: str
    probabilities: Float32[np.ndarray, "n k"]
    heatmaps: Float32[np.ndarray, "n rows columns"]

    def save(self, job: ExplainJob, result: Path) -> None:
        """Write the arrays where the job wants them, and the rest as the result."""
        np.save(job.probabilities, self.probabilities)
        np.save(job.heatmaps, self.heatmaps)
        write_json(result, {"method": self.method, "layer": self.layer})

    @classmethod
    def load(cls, job: ExplainJob, result: Path) -> "ExplainResult":
        return cls(
            **read_json(result), probabilities=np.load(job.probabilities), heatmaps=np.load(job.heatmaps)
        )
