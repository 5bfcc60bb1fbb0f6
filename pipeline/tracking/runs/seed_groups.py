"""Trainings that differ in nothing but their seed: found, summarized, and recorded in MLflow."""

import json
import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from pipeline.foundation.digests import digest_json
from pipeline.repository.repository import Repository
from pipeline.repository.stage_graph import Decisive
from pipeline.tracking import tags
from pipeline.tracking.runs.trainings import FINISHED, TrainingRun
from pipeline.tracking.store import Store

SEED = "seed"
"""The param that may differ; split.seed decides the data and may not."""
SCORED_SUBSETS = ("validation", "test")


@dataclass(frozen=True)
class Spread:
    """How far a score moves from seed to seed.

    Attributes:
      count: seeds that have the score, at least 2.
      mean: over the seeds.
      deviation: standard deviation, with count - 1 in the denominator.
      lowest: of all seeds.
      highest: of all seeds.
    """

    count: int
    mean: float
    deviation: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class SeedGroup:
    """Finished trainings of one candidate with equal params, data and code, one for each seed.

    Attributes:
      key: tells this group from all others: a digest of candidate, params, data and code.
      candidate: baseline, transfer or tuned.
      runs: at least two, in the order of their seeds.
      params: what all of them were told to train with, without the seed.
    """

    key: str
    candidate: str
    runs: tuple[TrainingRun, ...]
    params: Mapping[str, str]

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(int(run.params[SEED]) for run in self.runs)

    def spread(self, subset: str) -> Spread | None:
        """Of the accuracy on validation or test; None where fewer than two runs have it."""
        scores = [
            run.validation_accuracy if subset == "validation" else run.test_accuracy for run in self.runs
        ]
        known = [score for score in scores if score is not None]
        if len(known) < 2:
            return None
        return Spread(len(known), statistics.mean(known), statistics.stdev(known), min(known), max(known))


@dataclass(frozen=True)
class PooledDeviation:
    """One standard deviation for several groups, each around its own mean.

    Attributes:
      deviation: root of the mean of the variances, weighted by their degrees of freedom.
      degrees_of_freedom: seeds less groups.
      groups: how many groups it is from.
    """

    deviation: float
    degrees_of_freedom: int
    groups: int


def pooled_deviation(spreads: Sequence[Spread]) -> PooledDeviation | None:
    """The pooled standard deviation; None without a group."""
    freedom = sum(spread.count - 1 for spread in spreads)
    if not freedom:
        return None
    squares = sum((spread.count - 1) * spread.deviation**2 for spread in spreads)
    return PooledDeviation(math.sqrt(squares / freedom), freedom, len(spreads))


def group_by_seed(
    runs: Iterable[TrainingRun], graph: Mapping[str, Decisive], repository: Repository
) -> list[SeedGroup]:
    """Groups of at least two seeds, in the order of their first runs.

    A run of which it is not known what params or code it ran with is in no group: uncommitted code is
    known only where DVC has made a commit of it. Of several runs with one seed the first one with a test
    score counts.
    """
    code = _code_identities(graph, repository)
    members: dict[str, list[TrainingRun]] = defaultdict(list)
    for run in runs:
        if run.finished and run.declared is not None and SEED in run.declared:
            identity = code(run)
            if identity is not None:
                members[_key(run, identity)].append(run)
    groups = []
    for key, found in members.items():
        by_seed: dict[int, TrainingRun] = {}
        for run in sorted(found, key=lambda each: each.test_accuracy is None):
            by_seed.setdefault(int(run.params[SEED]), run)
        if len(by_seed) > 1:
            ordered = tuple(by_seed[seed] for seed in sorted(by_seed))
            groups.append(SeedGroup(key, ordered[0].candidate, ordered, _without_seed(ordered[0])))
    return groups


def _key(run: TrainingRun, code: str) -> str:
    return digest_json([run.candidate, run.data_digest, _without_seed(run), code])


def _without_seed(run: TrainingRun) -> dict[str, str]:
    return {name: value for name, value in (run.declared or {}).items() if name != SEED}


def _code_identities(
    graph: Mapping[str, Decisive], repository: Repository
) -> Callable[[TrainingRun], str | None]:
    """What tells whether two runs had the same code; commits that leave a stage's code alone do not."""

    @cache
    def of_commit(commit: str, stage: str) -> str:
        # git names the content of every file and folder; of commits that are not here, the name must do.
        objects = repository.git("rev-parse", *(f"{commit}:{path}" for path in graph[stage].code))
        return objects or commit

    def identity(run: TrainingRun) -> str | None:
        if run.stage not in graph or not run.commit:
            return None
        uncertain = run.changes is None or any(map(graph[run.stage].holds_code, run.changes))
        if uncertain and not run.dvc_commit:
            return None
        return of_commit(run.commit, run.stage)

    return identity


def record_seeds(store: Store, experiment: str, groups: Iterable[SeedGroup]) -> None:
    """Give each group a run of its own in MLflow, with means and standard deviations.

    A group that has one already, by its key, keeps it: new seeds become the next step of its metrics.

    Raises:
      StoreUnavailableError: MLflow could not be reached.
    """
    with store.failures_as_unavailable():
        for group in groups:
            _record(store, experiment, group)


def _record(store: Store, experiment: str, group: SeedGroup) -> None:
    from mlflow.entities import Metric

    found = store.find_run(experiment, {tags.KIND: tags.KIND_SEEDS, tags.RUN_KEY: group.key})
    run = found or store.client.create_run(
        store.experiment_id(experiment),
        tags={tags.KIND: tags.KIND_SEEDS, tags.RUN_KEY: group.key},
        run_name=f"{group.candidate} over seeds",
    )
    described, metrics = _tags(group), _metrics(group)
    if run.data.metrics == metrics and described.items() <= run.data.tags.items():
        return
    run_id, now = run.info.run_id, time.time_ns() // 1_000_000
    if found is None:
        store.log_params(run_id, group.params)
    values = [Metric(name, value, now, len(group.runs)) for name, value in metrics.items()]
    store.client.log_batch(run_id, metrics=values)
    store.set_tags(run_id, described)
    store.client.set_terminated(run_id, FINISHED)


def _tags(group: SeedGroup) -> dict[str, str]:
    latest = group.runs[-1]
    return {
        tags.STAGE: latest.stage,
        tags.CANDIDATE: group.candidate,
        tags.NETWORK: latest.network,
        tags.DATA_DIGEST: latest.data_digest,
        tags.SEEDS: json.dumps(group.seeds),
        tags.SEED_RUNS: json.dumps([run.run_id for run in group.runs]),
    }


def _metrics(group: SeedGroup) -> dict[str, float]:
    values: dict[str, float] = {"seeds": len(group.runs)}
    for subset in SCORED_SUBSETS:
        spread = group.spread(subset)
        if spread is not None:
            values[f"{subset}_accuracy_mean"] = spread.mean
            values[f"{subset}_accuracy_std"] = spread.deviation
    return values
