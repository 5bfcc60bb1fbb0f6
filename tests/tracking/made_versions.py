"""Model versions made to order: a run, a logged model without files, tags and predictions."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.foundation.digests import digest_bytes
from pipeline.scoring.predictions import Predictions
from pipeline.tracking import tags
from pipeline.tracking.registry.registry import Evidence, Registry, Version
from pipeline.tracking.runs.trainings import TrainedRun

EXPERIMENT = "image-classification"
CLASSES = ("cat", "dog")
IMAGES = 400


def answers(wrong: Sequence[int], images: int = IMAGES) -> Predictions:
    """Predictions that are 90 % sure, of classes in turn; `wrong` are the rows they get wrong."""
    labels = np.arange(images) % 2
    predicted = labels.copy()
    predicted[list(wrong)] = 1 - labels[list(wrong)]
    probabilities = np.where(np.eye(2)[predicted] == 1, 0.9, 0.1).astype(np.float32)
    return Predictions(probabilities, labels, np.arange(images))


MAJORITY, REGRESSION = answers(range(0, IMAGES, 2)), answers(range(40))
"""What the references of every version say: 50 and 90 percent right."""


def make_trained(registry: Registry, digest: str, run_tags: dict[str, str] | None = None) -> TrainedRun:
    """A run of the store and the logged model that it made."""
    from mlflow.entities import LoggedModelStatus

    client, experiment = registry.store.client, registry.store.experiment_id(EXPERIMENT)
    run = client.create_run(experiment, tags={tags.MODEL_DIGEST: digest, **(run_tags or {})})
    model = client.create_logged_model(experiment, "model", run.info.run_id, tags={tags.MODEL_DIGEST: digest})
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    return TrainedRun(run.info.run_id, model.model_id)


def make_version(
    registry: Registry,
    predictions: Predictions,
    *,
    name: str = "model",
    test_digest: str = "t" * 64,
    classes: Sequence[str] = CLASSES,
    **values: Any,
) -> Version:
    """A version as `register` makes it; `name` decides on its model's digest."""
    digest = digest_bytes(name.encode())
    described = {
        tags.MODEL_DIGEST: digest,
        tags.CANDIDATE: "baseline",
        tags.CLASSES: json.dumps(list(classes)),
        tags.SIZE_BYTES: "1000",
        tags.LATENCY_MS: "5",
        tags.TEST_DIGEST: test_digest,
        **values,
    }
    version = registry.create_version(make_trained(registry, digest), described)
    evidence = Evidence(
        {"test": predictions}, {"majority_class": MAJORITY, "logistic_regression": REGRESSION}
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        evidence.save(folder)
        place = registry.place(folder)
        registry.keep(version, folder, place)
    registry.describe(version, {tags.REGISTRATION: place})
    return registry.version(version.number)
