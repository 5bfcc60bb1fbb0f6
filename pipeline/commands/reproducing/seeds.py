"""`python -m pipeline seeds`: the same pipeline under several seeds, each as a DVC experiment of its own."""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pipeline.commands.reproducing.dvc_process import dvc_environment, dvc_status, run_dvc
from pipeline.commands.reproducing.repro import changed_location
from pipeline.commands.runs.query import Query
from pipeline.commands.runs.runs import show_runs
from pipeline.commands.runs.sync import bring_up_to_date
from pipeline.commands.terminal import say
from pipeline.foundation.digests import digest_file, digest_json
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.inference.model_card import ModelCard
from pipeline.params.whole import Params, load_params
from pipeline.processes.child_process import Say
from pipeline.repository.repository import Repository
from pipeline.repository.stage_graph import read_stage_graph
from pipeline.repository.stage_outputs import EVALUATION, TRAININGS
from pipeline.sources.fingerprint import local_fingerprint
from pipeline.tracking.runs.seed_groups import SEED, group_by_seed, record_seeds
from pipeline.tracking.runs.trainings import TrainingRun, read_trainings
from pipeline.tracking.store import Store

_ALL = "all"
_STAGES = {_ALL: EVALUATION, **{candidate: stage for stage, candidate in TRAININGS.items()}}
_DIGEST_LENGTH = 7


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=5, help="how many seeds (default: %(default)s)")
    parser.add_argument(
        "--candidate",
        choices=tuple(_STAGES),
        default=_ALL,
        help="only this candidate, validation scores only (default: all, evaluated on test too)",
    )


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Run the pipeline under several seeds, so that differences can be told from noise.

    Each seed is a DVC experiment of its own; the workspace's files stay as they are.
    """
    bring_up_to_date(workspace, store, say)
    code = run_seeds(workspace, store, options.count, options.candidate, say)
    bring_up_to_date(workspace, store, say)
    show_runs(workspace, store, Query(candidate=None if options.candidate == _ALL else options.candidate))
    return code


def run_seeds(workspace: Workspace, store: Store, count: int, candidate: str, say: Say) -> int:
    """Run the pipeline under `count` seeds from that of params.yaml on, and record their mean and deviation.

    What has been run before, also by an earlier call that was stopped, is not run again. The files of
    the workspace stay as they are.

    Args:
      workspace: the project.
      store: what has its runs.
      count: how many seeds.
      candidate: `all`, or the only one to be trained, which is then not evaluated on test data.
      say: is told what is run and why.

    Returns: the exit code of the DVC command that failed, or 0.

    Raises:
      PipelineError: the seeds do not fit, this is not a git repository, or MLflow could not be reached.
    """
    if count < 2:
        raise PipelineError(
            "A deviation needs several seeds.", expected="--count 2 or more", found=str(count)
        )
    params = load_params(workspace.params)
    seeds = range(params.seed, params.seed + count)
    load_params(workspace.params, [f"seed={seeds[-1]}"])  # refuses one that is too large
    series = _Series(workspace, store, params, candidate, seeds)
    series.require_experiments_possible()
    say(f"{count} seeds of {series.stage}: looking up which of them have been run")
    trainings = series.trainings()
    for number, seed in enumerate(seeds, start=1):
        reason = series.reason_to_skip(seed, trainings)
        if reason:
            say(f"seed {number} of {count}, seed={seed}: not run again, {reason}")
            continue
        say(f"seed {number} of {count}, seed={seed}")
        code = series.run(seed, say)
        if code:
            say(f"seed={seed} did not finish; run the same command to continue from there")
            return code
    bring_up_to_date(workspace, store, say)
    series.record()
    return 0


class _Series:
    """One setting under several seeds.

    The experiments are named after the seed and a digest of everything else that decides the result, so
    that they are found again, and another setting, code or data never passes for this one.
    """

    def __init__(
        self, workspace: Workspace, store: Store, params: Params, candidate: str, seeds: range
    ) -> None:
        self.stage = _STAGES[candidate]
        self._workspace = workspace
        self._store = store
        self._params = params
        self._candidates = CANDIDATES if candidate == _ALL else (candidate,)
        self._scored = candidate == _ALL
        self._graph = read_stage_graph(workspace.stages)
        self._repository = Repository(workspace.root)
        prefix = SEED if candidate == _ALL else f"{candidate}-{SEED}"
        digest = self._digest()[:_DIGEST_LENGTH]
        self._names = {seed: f"{prefix}-{seed}-{digest}" for seed in seeds}

    def require_experiments_possible(self) -> None:
        """Raises PipelineError."""
        if self._repository.head() is None:
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
        """Those that MLflow has. Raises PipelineError."""
        return read_trainings(self._store, self._params.tracking.experiment, self._graph)

    def reason_to_skip(self, seed: int, trainings: Sequence[TrainingRun]) -> str:
        """Why this seed need not be run; empty where it must be."""
        name = self._names[seed]
        if self._are_all([run for run in trainings if run.experiment == name]):
            return f"MLflow has the runs of experiment {name}"
        if name in {experiment.name for experiment in self._repository.experiments()}:
            return f"DVC has experiment {name}"
        if seed == self._params.seed and self._workspace_has_it(trainings):
            return "it is what the workspace has, with its runs in MLflow"
        return ""

    def run(self, seed: int, say: Say) -> int:
        """Run DVC in a temporary copy of the workspace; returns its exit code."""
        settings = ["--name", self._names[seed], "-S", f"{SEED}={seed}"]
        command = ["exp", "run", "--temp", *settings, self.stage]
        return run_dvc(self._workspace.root, command, dvc_environment(), say)

    def record(self) -> None:
        """Give MLflow mean and deviation of the groups that these experiments belong to."""
        groups = group_by_seed(self.trainings(), self._graph, self._repository)
        names = set(self._names.values())
        own = [group for group in groups if names & {run.experiment for run in group.runs}]
        record_seeds(self._store, self._params.tracking.experiment, own)

    def _are_all(self, runs: Sequence[TrainingRun]) -> bool:
        """Whether every candidate has ended well among these, and was evaluated where that is wanted."""
        ended = [run for run in runs if run.finished and (run.test_accuracy is not None or not self._scored)]
        return {run.candidate for run in ended} >= set(self._candidates)

    def _workspace_has_it(self, trainings: Sequence[TrainingRun]) -> bool:
        """Whether the workspace's models are of these params, code and data, and MLflow knows them."""
        try:
            digests = {ModelCard.load(self._workspace.card(each)).model_digest for each in self._candidates}
        except PipelineError:
            return False
        if not self._are_all([run for run in trainings if run.model_digest in digests]):
            return False
        return _dvc_sees_no_change(self._workspace, self.stage, say)

    def _digest(self) -> str:
        """Of what decides the result, the seed left out."""
        if self.stage not in self._graph:
            raise PipelineError(f"dvc.yaml has no stage '{self.stage}'.", remedy="git checkout dvc.yaml")
        decisive = self._graph[self.stage]
        values = self._params.model_dump(mode="json")
        params = {key: values[key] for key in decisive.params if key != SEED}
        root = self._workspace.root
        code = {str(path.relative_to(root)): digest_file(path) for path in _files(root, decisive.code)}
        return digest_json([self.stage, params, code, self._source_fingerprint()])

    def _source_fingerprint(self) -> str:
        """Of images on this machine; what is downloaded is checked against a known digest."""
        location = self._params.fetch.location
        if location is None or "://" in location:
            return ""
        path = self._workspace.resolve_location(location)
        return local_fingerprint(path, self._params.fetch.limits) if path.exists() else ""


def _dvc_sees_no_change(workspace: Workspace, stage: str, say: Say) -> bool:
    """Whether a stage and all before it are up to date in the workspace."""
    return dvc_status(workspace.root, ["--quiet", "--with-deps", stage], say).returncode == 0


def _files(root: Path, paths: Iterable[str]) -> Iterator[Path]:
    """Every file below some paths, but not what Python compiles."""
    for path in paths:
        found = (root / path).rglob("*") if (root / path).is_dir() else [root / path]
        yield from (each for each in sorted(found) if each.is_file() and "__pycache__" not in each.parts)
