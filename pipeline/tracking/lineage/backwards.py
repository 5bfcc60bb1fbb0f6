"""From a commit, an experiment or another run to the models that it has led to."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from pipeline.repository.repository import Experiment
from pipeline.tracking import tags
from pipeline.tracking.lineage.index import Index, summary
from pipeline.tracking.lineage.values import (
    RegisteredVersion,
    RelatedRun,
    RelatedVersion,
    RevisionLineage,
)

if TYPE_CHECKING:
    from mlflow.entities import Run

_COMMIT_HASH = re.compile(r"[0-9a-f]{40}")
_SEARCHABLE = re.compile(r"[\w./:@+ -]+")
"""What can stand in a filter of MLflow's."""


def lineage_of_commit(index: Index, commit: str) -> RevisionLineage:
    """The runs whose model a commit holds, that ran on it, or that belong to experiments around it."""
    experiments = tuple(each for each in index.repository.experiments() if each.commit == commit)
    models = index.models_of(commit)
    found = _Found()
    found.add(index.with_tags({tags.DVC_COMMIT: commit}), "its commit is this one")
    for each in experiments:
        found.add(_with_experiment(index, each), f"it ran in the experiment {each.name}")
    for path, value in models.items():
        made = index.makers_of(commit, path, value)
        found.add(made, f"{path} in this commit's dvc.lock is its model")
    found.add(index.evaluations_of(commit), "its predictions are those in this commit's dvc.lock")
    for run in index.with_tags({tags.GIT_COMMIT: commit}):
        if not run.data.tags.get(tags.DVC_EXPERIMENT):
            found.add([run], _ran_on(run))
    for run in index.with_tags({tags.DVC_BASELINE: commit}):
        name = run.data.tags.get(tags.DVC_EXPERIMENT, "")
        found.add([run], f"its experiment {name} started from this commit")
    # The title of an experiment's own commit is a checksum.
    names = [
        f"experiment {each.name}, commit {commit[:7]} on top of {index.repository.title(each.baseline)}"
        for each in experiments
    ]
    subject = "; ".join(names) or f"commit {index.repository.title(commit)}"
    return _lineage(index, subject, commit, experiments, models, found)


def lost_revisions(index: Index, text: str) -> Iterator[Callable[[], RevisionLineage]]:
    """What finds the lineage of every commit or experiment called so that only MLflow remembers."""
    if _COMMIT_HASH.fullmatch(text):
        if index.with_tags({tags.DVC_COMMIT: text}) or index.with_tags({tags.GIT_COMMIT: text}):
            yield partial(lineage_of_commit, index, text)
    elif _SEARCHABLE.fullmatch(text):
        runs = index.with_tags({tags.DVC_EXPERIMENT: text})
        for baseline in sorted({run.data.tags.get(tags.DVC_BASELINE, "") for run in runs}):
            yield partial(lineage_of_lost_experiment, index, Experiment(text, baseline, ""))


def lineage_of_lost_experiment(index: Index, gone: Experiment) -> RevisionLineage:
    """An experiment that only MLflow remembers."""
    found = _Found()
    found.add(_with_experiment(index, gone), f"it ran in the experiment {gone.name}")
    commits = {run.data.tags.get(tags.DVC_COMMIT, "") for run in found.runs()} - {""}
    commit = commits.pop() if len(commits) == 1 else ""
    subject = f"experiment {gone.name} of {gone.baseline[:7]}, whose ref is not in this repository"
    return _lineage(index, subject, commit, (), {}, found)


def lineage_of_run_without_model(index: Index, run: "Run") -> RevisionLineage:
    """A parent run, an evaluation or a trial: the runs above, below and beside it that made models."""
    found = _Found()
    children = index.with_tags({tags.NESTED_IN: run.info.run_id})
    found.add(children, "it is nested in this run")
    for name, digest in run.data.tags.items():
        candidate = name.removeprefix(f"{tags.MODEL_DIGEST}.")
        if candidate != name:
            found.add(index.with_tags({tags.MODEL_DIGEST: digest}), f"this run evaluated its {candidate}")
    above = index.run(run.data.tags.get(tags.NESTED_IN, ""))
    found.add([above] if above else [], "this run is nested in it")
    kind = run.data.tags.get(tags.KIND, "") or run.data.tags.get(tags.STAGE, "")
    subject = f"run {run.info.run_id} ({run.info.run_name}{f', {kind}' if kind else ''})"
    return _lineage(index, f"{subject}, which made no model itself", "", (), {}, found)


def _lineage(
    index: Index,
    subject: str,
    commit: str,
    experiments: tuple[Experiment, ...],
    models: Mapping[str, str],
    found: "_Found",
) -> RevisionLineage:
    runs = [each for each in found.runs() if each.data.tags.get(tags.KIND) != tags.KIND_TRIAL]
    related = tuple(RelatedRun(summary(run), found.reasons(run)) for run in runs)
    makers: dict[str, list[str]] = {}
    for each in related:
        if each.run.model_digest:
            makers.setdefault(each.run.model_digest, []).append(each.run.run_id)
    return RevisionLineage(
        subject=subject,
        commit=commit,
        experiments=experiments,
        models=models,
        runs=related,
        trials=len(found.runs()) - len(runs),
        registered=tuple(
            RelatedVersion(version, f"it is the model of run {_own_or_first(version, makers[digest])[:8]}")
            for version, digest in index.versions_of(makers)
        ),
    )


def _with_experiment(index: Index, experiment: Experiment) -> "list[Run]":
    return index.with_tags({tags.DVC_EXPERIMENT: experiment.name, tags.DVC_BASELINE: experiment.baseline})


class _Found:
    """Runs with the reasons why they were found."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._reasons: dict[str, list[str]] = {}

    def add(self, runs: "Iterable[Run]", reason: str) -> None:
        for run in runs:
            self._runs[run.info.run_id] = run
            reasons = self._reasons.setdefault(run.info.run_id, [])
            if reason not in reasons:
                reasons.append(reason)

    def runs(self) -> "list[Run]":
        """The latest first."""
        return sorted(self._runs.values(), key=lambda run: run.info.start_time, reverse=True)

    def reasons(self, run: "Run") -> tuple[str, ...]:
        return tuple(self._reasons[run.info.run_id])


def _ran_on(run: "Run") -> str:
    dirty = run.data.tags.get(tags.GIT_DIRTY) != "false"
    return "it ran on this commit" + (" with uncommitted changes" if dirty else "")


def _own_or_first(version: RegisteredVersion, run_ids: list[str]) -> str:
    """The run that a version was registered from, if it is among these that made its model."""
    return version.run_id if version.run_id in run_ids else run_ids[0]
