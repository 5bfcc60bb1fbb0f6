"""Trainings as DVC experiments that are named after what decides them, so that none is run twice."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pipeline.commands.reproducing.dvc_process import dvc_environment, dvc_status, run_dvc
from pipeline.commands.reproducing.repro import changed_location
from pipeline.commands.terminal import say
from pipeline.foundation.digests import digest_file, digest_json
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.inference.model_card import ModelCard
from pipeline.params.base import flattened
from pipeline.params.fetch import FetchLimits
from pipeline.params.whole import Params, as_override_value, load_params, load_params_with
from pipeline.processes.child_process import Say
from pipeline.repository.repository import Repository
from pipeline.repository.stage_graph import read_stage_graph
from pipeline.repository.stage_outputs import EVALUATION, TRAININGS
from pipeline.sources.fingerprint import local_fingerprint
from pipeline.tracking.runs.seed_groups import SEED
from pipeline.tracking.runs.trainings import TrainingRun, read_trainings
from pipeline.tracking.store import Store

ALL = "all"
STAGES = {ALL: EVALUATION, **{candidate: stage for stage, candidate in TRAININGS.items()}}
"""What is run for a candidate; for all of them also their evaluation."""

_DIGEST_LENGTH = 7


@dataclass(frozen=True)
class NamedExperiment:
    """Some settings under one seed.

    Attributes:
      name: DVC's; of candidate, seed and a digest of everything else that decides the result, so that it is
        found again, and other settings, code or data never pass for these.
      settings: what is put over params.yaml, by key with section.
      params: what that makes.
    """

    name: str
    settings: Mapping[str, Any]
    params: Params


class NamedExperiments:
    """The experiments of one candidate, or of all of them."""

    def __init__(self, workspace: Workspace, store: Store, candidate: str) -> None:
        """`candidate` may be ALL; every one is then evaluated on test data too. Raises PipelineError."""
        self.stage = STAGES[candidate]
        self.graph = read_stage_graph(workspace.stages)
        self.repository = Repository(workspace.root)
        self._workspace = workspace
        self._store = store
        self._own_params = load_params(workspace.params)
        self._candidates = CANDIDATES if candidate == ALL else (candidate,)
        self._scored = candidate == ALL
        self._prefix = SEED if candidate == ALL else f"{candidate}-{SEED}"
        if self.stage not in self.graph:
            raise PipelineError(f"dvc.yaml has no stage '{self.stage}'.", remedy="git checkout dvc.yaml")
        self._fingerprint = cache(self._source_fingerprint)
        self._known_keys = {key for key, _ in flattened(self._own_params.model_dump())}

    def plan(self, settings: Mapping[str, Any], source: str) -> NamedExperiment:
        """An experiment with its name; nothing is run.

        Args:
          settings: put over params.yaml, by key with section; the seed among them.
          source: where they come from; begins the message about one that does not fit.

        Raises:
          PipelineError: they do not fit params.yaml.
        """
        params = load_params_with(self._workspace.params, settings, source)
        return NamedExperiment(self._name(params), settings, params)

    def require_possible(self) -> None:
        """Raises PipelineError."""
        if self.repository.head() is None:
            raise PipelineError(
                "DVC runs experiments from a git commit, and there is none here.",
                remedy="git init; git add --all; git commit --message 'First commit'",
            )
        changed = changed_location(self._workspace)
        if changed is not None:
            raise PipelineError(
                f"{changed} has changed since its images were imported, which DVC does not see.",
                remedy="run 'python -m pipeline repro', which imports them again",
            )

    def trainings(self) -> list[TrainingRun]:
        """Those that MLflow has, the latest first. Raises PipelineError."""
        return read_trainings(self._store, self._own_params.tracking.experiment, self.graph)

    def runs_of(self, experiment: NamedExperiment, trainings: Sequence[TrainingRun]) -> list[TrainingRun]:
        """Those of an experiment, or those that made the workspace's models, where it has the same."""
        own = [run for run in trainings if run.experiment == experiment.name]
        if not own and self._workspace_has(experiment, trainings):
            models = self._workspace_models()
            own = [run for run in trainings if run.model_digest in models]
        return own

    def reason_to_skip(self, experiment: NamedExperiment, trainings: Sequence[TrainingRun]) -> str:
        """Why an experiment need not be run; empty where it must be."""
        name = experiment.name
        if self._are_all([run for run in trainings if run.experiment == name]):
            return f"MLflow has the runs of experiment {name}"
        if self.dvc_has(experiment):
            return f"DVC has experiment {name}"
        if self._workspace_has(experiment, trainings):
            return "it is what the workspace has, with its runs in MLflow"
        return ""

    def dvc_has(self, experiment: NamedExperiment) -> bool:
        """Whether DVC has one of that name, and would not run another."""
        return experiment.name in {each.name for each in self.repository.experiments()}

    def run(self, experiment: NamedExperiment, say: Say) -> int:
        """Run DVC in a temporary copy of the workspace; returns its exit code."""
        command = ["exp", "run", "--temp", "--name", experiment.name]
        for key, value in experiment.settings.items():
            new = "" if key in self._known_keys else "+"  # below fetch.class_names, say
            command += ["-S", f"{new}{key}={as_override_value(value)}"]
        return run_dvc(self._workspace.root, [*command, self.stage], dvc_environment(), say)

    def _name(self, params: Params) -> str:
        return f"{self._prefix}-{params.seed}-{self._digest(params)[:_DIGEST_LENGTH]}"

    def _digest(self, params: Params) -> str:
        """Of what decides the result, the seed left out."""
        values = params.model_dump(mode="json")
        decisive = {key: values[key] for key in self.graph[self.stage].params if key != SEED}
        fingerprint = self._fingerprint(params.fetch.location, params.fetch.limits)
        return digest_json([self.stage, decisive, self._code, fingerprint])

    @cached_property
    def _code(self) -> dict[str, str]:
        """The digest of every file that decides the result, by its path."""
        root = self._workspace.root
        files = _files(root, self.graph[self.stage].code)
        return {str(path.relative_to(root)): digest_file(path) for path in files}

    def _source_fingerprint(self, location: str | None, limits: FetchLimits) -> str:
        """Of images on this machine; what is downloaded is checked against a known digest."""
        if location is None or "://" in location:
            return ""
        path = self._workspace.resolve_location(location)
        return local_fingerprint(path, limits) if path.exists() else ""

    def _are_all(self, runs: Sequence[TrainingRun]) -> bool:
        """Whether every candidate has ended well among these, and was evaluated where that is wanted."""
        ended = [run for run in runs if run.finished and (run.test_accuracy is not None or not self._scored)]
        return {run.candidate for run in ended} >= set(self._candidates)

    def _workspace_has(self, experiment: NamedExperiment, trainings: Sequence[TrainingRun]) -> bool:
        """Whether the workspace's models are of these params, code and data, and MLflow knows them."""
        if experiment.name != self._name(self._own_params):
            return False
        models = self._workspace_models()
        known = [run for run in trainings if run.model_digest in models]
        return self._are_all(known) and self._is_up_to_date

    def _workspace_models(self) -> set[str]:
        """Digests of the candidates' models in the workspace; none where one is missing."""
        try:
            return {ModelCard.load(self._workspace.card(each)).model_digest for each in self._candidates}
        except PipelineError:
            return set()

    @cached_property
    def _is_up_to_date(self) -> bool:
        return _dvc_sees_no_change(self._workspace, self.stage, say)


def _dvc_sees_no_change(workspace: Workspace, stage: str, say: Say) -> bool:
    """Whether a stage and all before it are up to date in the workspace."""
    return dvc_status(workspace.root, ["--quiet", "--with-deps", stage], say).returncode == 0


def _files(root: Path, paths: Iterable[str]) -> Iterator[Path]:
    """Every file below some paths, but not what Python compiles."""
    for path in paths:
        found = (root / path).rglob("*") if (root / path).is_dir() else [root / path]
        yield from (each for each in sorted(found) if each.is_file() and "__pycache__" not in each.parts)
