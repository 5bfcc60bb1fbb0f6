"""Runs as stages, delivery and sync leave them, made by hand: in MLflow, and as they are read from it."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from mlflow.entities import LoggedModelOutput, Metric, Param

from pipeline.tracking import tags
from pipeline.tracking.runs.trainings import TrainingRun
from pipeline.tracking.store import Store
from tests.tracking.conftest import EXPERIMENT

COMMIT = "a" * 40

_PARAMS = {"seed": "0", "lr": "0.1", "batch_size": "128", "train_baseline.network": "fast_cnn"}
_NUMBERS = itertools.count(1)


def training_run(**changes: Any) -> TrainingRun:
    """A finished training of the baseline; every one has an id of its own and began later than the last.

    `seed` and `lr` change its params; everything else is a field of TrainingRun.
    """
    number = next(_NUMBERS)
    own: dict[str, str] = {name: str(changes.pop(name)) for name in ("seed", "lr") if name in changes}
    params = {**_PARAMS, **own}
    run = TrainingRun(
        run_id=f"{number:032x}",
        page="",
        artifacts="",
        model="",
        candidate="baseline",
        network="fast_cnn",
        stage="train_baseline",
        status="FINISHED",
        failure="",
        processor="made by hand",
        started=datetime(2030, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
        experiment="",
        dvc_commit="",
        git_commit=COMMIT,
        changes=(),
        restored=False,
        data_digest="d" * 64,
        model_digest=f"model {number}",
        params=params,
        declared=params,
        metrics={"validation_accuracy": 0.9, "test_accuracy": 0.8},
    )
    return replace(run, **changes)


def make_parent(store: Store, name: str, params: Mapping[str, str]) -> str:
    """The run of an experiment, with the whole of params.yaml; returns its id."""
    return _make(store, name, {tags.KIND: tags.KIND_EXPERIMENT}, params, {})


def make_training(
    store: Store,
    *,
    candidate: str = "baseline",
    stage: str = "train_baseline",
    parent: str | None = None,
    params: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    status: str = "FINISHED",
    more_tags: Mapping[str, str] | None = None,
) -> str:
    """A training; returns its id."""
    values = {
        tags.KIND: tags.KIND_TRAINING,
        tags.STAGE: stage,
        tags.CANDIDATE: candidate,
        tags.NETWORK: "fast_cnn",
        tags.GIT_COMMIT: COMMIT,
        tags.GIT_DIRTY: "false",
        tags.DATA_DIGEST: "data",
        **({tags.NESTED_IN: parent} if parent else {}),
        **(more_tags or {}),
    }
    return _make(store, candidate, values, params or {}, metrics or {}, status)


def changed(*paths: str) -> dict[str, str]:
    """Tags of a run whose working tree differed from its commit."""
    return {tags.GIT_DIRTY: "true", tags.GIT_CHANGES: json.dumps(paths)}


def link_model(store: Store, run_id: str) -> str:
    """Give a run a logged model without files; returns the model's id."""
    model = store.client.create_logged_model(
        store.experiment_id(EXPERIMENT), name="model", source_run_id=run_id
    )
    store.client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)


def _make(
    store: Store,
    name: str,
    values: Mapping[str, str],
    params: Mapping[str, str],
    metrics: Mapping[str, float],
    status: str = "FINISHED",
) -> str:
    run = store.client.create_run(store.experiment_id(EXPERIMENT), tags=dict(values), run_name=name)
    store.client.log_batch(
        run.info.run_id,
        params=[Param(key, value) for key, value in params.items()],
        metrics=[Metric(key, value, 0, 0) for key, value in metrics.items()],
    )
    if status != "RUNNING":
        store.client.set_terminated(run.info.run_id, status)
    return str(run.info.run_id)
