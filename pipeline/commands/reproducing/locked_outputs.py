"""What a reproduction has written, compared with what dvc.lock says."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.foundation.errors import PipelineError
from pipeline.repository.repository import Lock, StageLock
from pipeline.scoring.intervals import Interval
from pipeline.scoring.scores import Scores, parse_scores
from pipeline.tracking.flat_params import as_text

AGREES, DIFFERS, FROM_CACHE, NOT_WRITTEN = "agrees", "differs", "from cache", "not written"

FileHashes = Callable[[str], Mapping[str, str] | None]
"""The recorded hashes of the files within an output folder, by path; None where the list is lost."""


@dataclass(frozen=True)
class OutputCheck:
    """One output of a stage.

    Attributes:
      path: as dvc.lock has it.
      size: bytes that the reproduction has written.
      verdict: agrees, differs, from cache (so not reproduced) or not written.
      files: the files within a folder that differ; empty for others, and where it is not known which.
    """

    path: str
    size: int
    verdict: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class StageCheck:
    """A stage: its outputs, and what it was run with now that dvc.lock has otherwise.

    Attributes:
      name: the stage.
      outputs: by path.
      params: keys whose value in params.yaml is not that in dvc.lock.
      code: dependencies on code with another hash.
      inputs: dependencies on other stages' outputs with another hash.
      outdated: those of them that were others in dvc.lock already when the stage was run.
    """

    name: str
    outputs: tuple[OutputCheck, ...]
    params: tuple[str, ...]
    code: tuple[str, ...]
    inputs: tuple[str, ...]
    outdated: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        return all(output.verdict in (AGREES, FROM_CACHE) for output in self.outputs)

    @property
    def stale(self) -> bool:
        """Whether dvc.lock was made with other params, code or inputs than the revision has."""
        return bool(self.params or self.code or self.outdated)

    @property
    def unexplained(self) -> bool:
        """Whether the same params, code and inputs have given other bytes."""
        return not (self.agrees or self.stale or self.inputs)


@dataclass(frozen=True)
class AccuracyCheck:
    """A model's accuracy on a subset: as recorded, with its interval, and as reproduced."""

    candidate: str
    subset: str
    recorded: float
    interval: Interval
    reproduced: float

    @property
    def agrees(self) -> bool:
        """Whether it lies within the recorded interval."""
        return self.interval.low <= self.reproduced <= self.interval.high


def compare_stage(
    name: str, recorded: Lock, reproduced: Lock, project: Path, file_hashes: FileHashes, cached: bool
) -> StageCheck:
    """Compare a stage's entries in two dvc.lock.

    Args:
      name: the stage; both have it.
      recorded: dvc.lock of the revision.
      reproduced: dvc.lock after the reproduction.
      project: where it was reproduced.
      file_hashes: looks up what a folder held.
      cached: whether DVC was given the outputs, and would run the stage only if they were not up to date.
    """
    old, new = recorded.stages[name], reproduced.stages[name]
    params = _differing(as_text(old.params), as_text(new.params))
    dependencies = _differing(old.inputs, new.inputs)
    written = reproduced.outputs
    inputs = [path for path in dependencies if any(Path(path).is_relative_to(each) for each in written)]
    untouched = cached and not params and not dependencies
    outputs = [
        OutputCheck(path, new.sizes.get(path, 0), FROM_CACHE)
        if untouched
        else _compare_output(path, old, new, project, file_hashes)
        for path in sorted({*old.outputs, *new.outputs})
    ]
    code = tuple(path for path in dependencies if path not in inputs)
    made = recorded.outputs
    outdated = tuple(path for path in inputs if path in made and old.inputs.get(path) != made[path])
    return StageCheck(name, tuple(outputs), tuple(params), code, tuple(inputs), outdated)


def _compare_output(
    path: str, old: StageLock, new: StageLock, project: Path, file_hashes: FileHashes
) -> OutputCheck:
    size = new.sizes.get(path, 0)
    if path not in new.outputs:
        return OutputCheck(path, size, NOT_WRITTEN)
    if old.outputs.get(path) == new.outputs[path]:
        return OutputCheck(path, size, AGREES)
    folder = project / path
    listed = file_hashes(path) if folder.is_dir() else None
    files = [] if listed is None else _differing(listed, _hashes(folder))
    return OutputCheck(path, size, DIFFERS, tuple(files))


def _hashes(folder: Path) -> dict[str, str]:
    """MD5 by path of the files in a folder, as DVC computes it."""
    hashes = {}
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                hashes[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "md5").hexdigest()
    return hashes


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return sorted(key for key in {*old, *new} if old.get(key) != new.get(key))


def compare_accuracies(recorded: str, reproduced: str) -> list[AccuracyCheck]:
    """Compare the texts of two metrics/evaluate.json, as far as both have the same candidates and subsets."""
    old, new = _scores(recorded), _scores(reproduced)
    return [
        AccuracyCheck(
            candidate,
            subset,
            scores.accuracy,
            scores.accuracy_interval,
            new[candidate][subset].accuracy,
        )
        for candidate, subsets in old.items()
        for subset, scores in subsets.items()
        if subset in new.get(candidate, {})
    ]


def _scores(text: str) -> dict[str, dict[str, Scores]]:
    """Scores by candidate and subset; empty where the text holds none that this pipeline knows."""
    try:
        return parse_scores(json.loads(text), "these scores")
    except (ValueError, PipelineError):
        return {}
