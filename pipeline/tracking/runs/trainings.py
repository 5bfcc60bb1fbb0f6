"""Reads the trainings that MLflow knows, of all experiments and of all who share the store."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.repository.stage_graph import Decisive
from pipeline.tracking import tags
from pipeline.tracking.provenance import origin
from pipeline.tracking.redaction import without_credentials
from pipeline.tracking.store import Store, is_server

if TYPE_CHECKING:
    from mlflow.entities import Run

_PAGE = 1000
FINISHED, FAILED = "FINISHED", "FAILED"


@dataclass(frozen=True)
class TrainingRun:
    """One training as MLflow has it.

    Attributes:
      run_id: MLflow's id.
      page: where MLflow's web interface shows it; without the server's address where the store is a file.
      artifacts: where its files are.
      model: MLflow's address of the model, for `mlflow.pyfunc.load_model`; empty where there is none.
      candidate: baseline, transfer or tuned.
      network: what was trained: the name of a network or of a backbone.
      stage: the stage that trained it.
      status: FINISHED, RUNNING, FAILED or KILLED.
      failure: why it has failed, in a line; empty where it has not, or nobody knows.
      processor: the model of that which it ran on; empty where that is not known.
      started: when, UTC.
      experiment: DVC's name of the experiment; empty for a reproduction in the workspace.
      dvc_commit: the experiment's own commit; empty while it is not known.
      git_commit: HEAD while it ran.
      changes: files that differed from `git_commit`, None where that is not known.
      restored: whether DVC took the model from its run cache, so that nothing was executed.
      data_digest: of the arrays that it was trained on.
      model_digest: of model.keras.
      params: what it was trained with, by name with section: the params of its stage and of the stages
        before it, those that a search has found in place of those that it was told to search around.
      declared: the same as params.yaml had them, before any search; None where that is not known.
      metrics: the latest value of every metric; accuracies are fractions.
    """

    run_id: str
    page: str
    artifacts: str
    model: str
    candidate: str
    network: str
    stage: str
    status: str
    failure: str
    processor: str
    started: datetime
    experiment: str
    dvc_commit: str
    git_commit: str
    changes: tuple[str, ...] | None
    restored: bool
    data_digest: str
    model_digest: str
    params: Mapping[str, str]
    declared: Mapping[str, str] | None
    metrics: Mapping[str, float]

    @property
    def finished(self) -> bool:
        return self.status == FINISHED

    @property
    def commit(self) -> str:
        """The experiment's own commit, else the one that was checked out."""
        return self.dvc_commit or self.git_commit

    @property
    def dirty(self) -> bool:
        """Whether `commit` is not all that it ran with."""
        return not self.dvc_commit and self.changes != ()

    @property
    def validation_accuracy(self) -> float | None:
        """As evaluate found it. Before that, the last epoch's, where that epoch's weights were kept."""
        evaluated = self.metrics.get("validation_accuracy")
        if evaluated is not None or not self.finished:
            return evaluated
        patience = [value for name, value in self.params.items() if name.endswith(".early_stopping_patience")]
        return self.metrics.get("val_accuracy") if patience == ["null"] else None

    @property
    def test_accuracy(self) -> float | None:
        return self.metrics.get("test_accuracy")

    @property
    def duration_seconds(self) -> float | None:
        return self.metrics.get("duration_seconds")

    @property
    def images_per_second(self) -> float | None:
        """Training images per second in the last epoch."""
        return self.metrics.get("images_per_second")

    def interval(self, score: str) -> tuple[float, float] | None:
        """The confidence interval of a score such as test_accuracy; None where it has none."""
        low, high = (self.metrics.get(f"{score}_{end}") for end in ("low", "high"))
        return None if low is None or high is None else (low, high)


@dataclass(frozen=True)
class TrainedRun:
    """MLflow's ids of a run and of the logged model that it has made."""

    run_id: str
    model_id: str


def find_trained(store: Store, experiment: str, model_digest: str) -> TrainedRun | None:
    """The latest run that made a model, one of this project folder before those of others.

    Raises PipelineError where MLflow does not answer.
    """
    with store.answering():
        runs = store.find_runs(experiment, {tags.MODEL_DIGEST: model_digest})
        own = origin(store.workspace.home)
        for run in sorted(runs, key=lambda run: run.data.tags.get(tags.ORIGIN) != own):
            for model in store.logged_models_of(run, model_digest):
                if model.status == "READY":
                    return TrainedRun(run.info.run_id, model.model_id)
    return None


def tags_of_run(store: Store, run_id: str) -> dict[str, str]:
    """Raises PipelineError where MLflow does not answer or does not have it."""
    with store.answering() as client:
        return dict(client.get_run(run_id).data.tags)


def read_trainings(store: Store, experiment: str, graph: Mapping[str, Decisive]) -> list[TrainingRun]:
    """All trainings, unfinished ones too, the latest first.

    Args:
      store: where they are.
      experiment: MLflow's name for the project.
      graph: which params decide which stage.

    Raises:
      StoreUnavailableError: MLflow could not be reached.
    """
    with store.failures_as_unavailable():
        identifier = store.experiment_id(experiment)
        parents = {run.info.run_id: run for run in _search(store, identifier, tags.KIND_EXPERIMENT)}
        return [
            _training(run, parents.get(run.data.tags.get(tags.NESTED_IN, "")), graph, store)
            for run in _search(store, identifier, tags.KIND_TRAINING)
        ]


def _search(store: Store, experiment_id: str, kind: str) -> "Iterator[Run]":
    token = None
    while True:
        page = store.client.search_runs(
            [experiment_id],
            filter_string=f"tags.{tags.KIND} = '{kind}'",
            order_by=["attributes.start_time DESC"],
            max_results=_PAGE,
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return


def _training(run: "Run", parent: "Run | None", graph: Mapping[str, Decisive], store: Store) -> TrainingRun:
    known = run.data.tags
    stage = known.get(tags.STAGE, "")
    declared = None
    if parent is not None and stage in graph:
        declared = {
            name: parent.data.params[name] for name in parent.data.params if graph[stage].holds_param(name)
        }
    return TrainingRun(
        run_id=run.info.run_id,
        page=_page(run, store),
        artifacts=run.info.artifact_uri,
        model=_model(run),
        # Named before its model is saved, which is when a training gets its tags.
        candidate=known.get(tags.CANDIDATE) or run.info.run_name,
        network=known.get(tags.NETWORK, ""),
        stage=stage,
        status=run.info.status,
        failure=known.get(tags.FAILURE, ""),
        processor=known.get(tags.PROCESSOR, ""),
        started=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        experiment=known.get(tags.DVC_EXPERIMENT, ""),
        dvc_commit=known.get(tags.DVC_COMMIT, ""),
        git_commit=known.get(tags.GIT_COMMIT, ""),
        changes=_changes(known),
        restored=known.get(tags.RESTORED) == "true",
        data_digest=known.get(tags.DATA_DIGEST, ""),
        model_digest=known.get(tags.MODEL_DIGEST, ""),
        params={**(declared or {}), **run.data.params},
        declared=declared,
        metrics=run.data.metrics,
    )


def _page(run: "Run", store: Store) -> str:
    page = f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    return f"{without_credentials(store.address).rstrip('/')}/{page}" if is_server(store.address) else page


def _model(run: "Run") -> str:
    models = run.outputs.model_outputs if run.outputs else []
    return f"models:/{models[-1].model_id}" if models else ""


def _changes(known: Mapping[str, str]) -> tuple[str, ...] | None:
    """From git_dirty and git_changes; neither is there outside of a repository."""
    dirty = known.get(tags.GIT_DIRTY, "false")
    if dirty == "false":
        return ()
    listed = known.get(tags.GIT_CHANGES)
    return tuple(json.loads(listed)) if dirty == "true" and listed else None
