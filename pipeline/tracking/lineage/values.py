"""Lineage as values: of a model, and of a revision."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.repository.repository import Experiment
from pipeline.tracking.lineage.recovery import ChangedParam, Recovery


@dataclass(frozen=True)
class RunSummary:
    """A run in a line.

    Attributes:
      run_id: MLflow's id.
      name: baseline, transfer, tuned, evaluate, or a parent's name.
      stage, candidate: empty where the run has none.
      status: FINISHED, RUNNING, FAILED or KILLED.
      started: UTC, to the second.
      seconds: duration; None while it runs.
      model_digest: SHA-256 of the model.keras that it made; empty where it made none.
      test_accuracy: once evaluated.
      restored: whether nothing was executed, as DVC took the outputs from its run cache.
      restored_from: id of the run that executed what this one only restored, where it is known.
    """

    run_id: str
    name: str
    stage: str
    candidate: str
    status: str
    started: str
    seconds: float | None
    model_digest: str
    test_accuracy: float | None
    restored: bool
    restored_from: str


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model, made from a run."""

    name: str
    version: int
    aliases: tuple[str, ...]
    run_id: str

    def __str__(self) -> str:
        aliases = f" ({', '.join(self.aliases)})" if self.aliases else ""
        return f"{self.name} version {self.version}{aliases}"


@dataclass(frozen=True)
class ModelLineage:
    """All that led to one model.

    Attributes:
      model_digest: SHA-256 of model.keras.
      candidate, network, stage: what was trained, and by which stage.
      run: the run that trained it; None where MLflow has it no more and a model version is all there is.
      same_model: other runs that made the same bytes.
      parent_run: the run of the whole experiment.
      params: as recorded; `changed_params` those that differ from params.yaml at the baseline, None where
        that cannot be told.
      params_commit: the commit with which they were compared.
      git_commit: HEAD while it was trained, and `git_title` its short hash, subject and day.
      git_changes: files of code and params that differed from it; None where that is not known.
      experiment: the DVC experiment, also where its ref is gone; its commit is empty where it is not known.
      dvc_hash: DVC's hash of the card of this model.
      data_digest: SHA-256 of the arrays that it was trained on.
      inputs: DVC's hashes of what the stage read, by path.
      data_source: dataset, location and fingerprint of the images.
      environment_digest: SHA-256 of requirements.lock.
      versions, machine: of the libraries and of the processor, by name.
      scores: of evaluate, by `<subset>_<score>`.
      registered: versions in the registry that are this model.
      recovery: how to get it back.
    """

    model_digest: str
    candidate: str
    network: str
    stage: str
    run: RunSummary | None
    same_model: tuple[RunSummary, ...]
    parent_run: RunSummary | None
    params: Mapping[str, str]
    changed_params: tuple[ChangedParam, ...] | None
    params_commit: str
    git_commit: str
    git_title: str
    git_changes: tuple[str, ...] | None
    experiment: Experiment | None
    dvc_hash: str
    data_digest: str
    inputs: Mapping[str, str]
    data_source: Mapping[str, Any]
    environment_digest: str
    versions: Mapping[str, str]
    machine: Mapping[str, str]
    scores: Mapping[str, float]
    registered: tuple[RegisteredVersion, ...]
    recovery: Recovery


@dataclass(frozen=True)
class RelatedRun:
    """A run that belongs to a commit or experiment, and why."""

    run: RunSummary
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class RelatedVersion:
    """A model version that belongs to a commit or experiment, and why."""

    version: RegisteredVersion
    reason: str


@dataclass(frozen=True)
class RevisionLineage:
    """All that a commit, an experiment or a run that made no model itself has led to.

    Attributes:
      subject: what it is, in words.
      commit: full hash; empty for a run, and where only MLflow knows the experiment.
      experiments: the DVC experiments whose commit it is.
      models: DVC's hashes of models/<candidate> in its dvc.lock, by path.
      runs: without the trials of searches; the latest first.
      trials: how many trials were left out.
      registered: versions in the registry.
    """

    subject: str
    commit: str
    experiments: tuple[Experiment, ...]
    models: Mapping[str, str]
    runs: tuple[RelatedRun, ...]
    trials: int
    registered: tuple[RelatedVersion, ...]


Lineage = ModelLineage | RevisionLineage
