"""`python -m pipeline seeds`: the same pipeline under several seeds, each as a DVC experiment of its own."""

import argparse
from collections.abc import Container

from pipeline.commands.reproducing.named_experiments import ALL, STAGES, NamedExperiments
from pipeline.commands.runs.query import Query
from pipeline.commands.runs.runs import show_runs
from pipeline.commands.runs.sync import bring_up_to_date
from pipeline.commands.terminal import say
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import PARAMS_FILE, Workspace
from pipeline.params.whole import load_params
from pipeline.processes.child_process import Say
from pipeline.tracking.runs.seed_groups import SEED, group_by_seed, record_seeds
from pipeline.tracking.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=5, help="how many seeds (default: %(default)s)")
    parser.add_argument(
        "--candidate",
        choices=tuple(STAGES),
        default=ALL,
        help="only this candidate, validation scores only (default: all, evaluated on test too)",
    )


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Run the pipeline under several seeds, so that differences can be told from noise.

    Each seed is a DVC experiment of its own; the workspace's files stay as they are.
    """
    bring_up_to_date(workspace, store, say)
    code = run_seeds(workspace, store, options.count, options.candidate, say)
    bring_up_to_date(workspace, store, say)
    show_runs(workspace, store, Query(candidate=None if options.candidate == ALL else options.candidate))
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
    experiments = NamedExperiments(workspace, store, candidate)
    planned = {seed: experiments.plan({SEED: seed}, PARAMS_FILE) for seed in seeds}
    experiments.require_possible()
    say(f"{count} seeds of {experiments.stage}: looking up which of them have been run")
    trainings = experiments.trainings()
    for number, (seed, experiment) in enumerate(planned.items(), start=1):
        reason = experiments.reason_to_skip(experiment, trainings)
        if reason:
            say(f"seed {number} of {count}, seed={seed}: not run again, {reason}")
            continue
        say(f"seed {number} of {count}, seed={seed}")
        code = experiments.run(experiment, say)
        if code:
            say(f"seed={seed} did not finish; run the same command to continue from there")
            return code
    bring_up_to_date(workspace, store, say)
    names = {experiment.name for experiment in planned.values()}
    _record(store, params.tracking.experiment, experiments, names)
    return 0


def _record(store: Store, project: str, experiments: NamedExperiments, names: Container[str]) -> None:
    """Give MLflow mean and deviation of the groups that some experiments belong to."""
    groups = group_by_seed(experiments.trainings(), experiments.graph, experiments.repository)
    own = [group for group in groups if any(run.experiment in names for run in group.runs)]
    record_seeds(store, project, own)
