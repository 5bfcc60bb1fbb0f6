"""The files of registered models, and what an export adds to them: figures, tags and the exported files."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.foundation.digests import digest_file
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import CARD_FILE, NETWORK_FILE
from pipeline.inference.exported_model import SAVED_MODEL_FORMAT, ExportedFile, ExportedModel
from pipeline.tracking import tags
from pipeline.tracking.registry.registry import CHAMPION, Registry
from pipeline.tracking.runs.trainings import TrainedRun, find_trained, tags_of_run
from pipeline.tracking.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient


def champion(store: Store, name: str) -> int | None:
    """The version that is champion, or None where none is. Raises PipelineError where MLflow is silent."""
    return _aliases(Registry(store, name)).get(CHAMPION) if store.exists else None


def download_version(store: Store, name: str, number: int, folder: Path) -> Path:
    """Bring model.keras and card.json of a model version into a folder.

    Returns the folder below it that holds them.

    Raises:
      PipelineError: MLflow does not answer, there is no such version, or it is not a model of ours.
    """
    version = Registry(store, name).version(number)
    described = f"version {number} of '{name}'"
    with store.answering(f"The files of {described} cannot be downloaded") as client:
        uri = client.get_model_version_download_uri(name, str(number))
    return _download(store, uri, described, version.model_digest, folder)


def download_trained(store: Store, experiment: str, model_digest: str, folder: Path) -> Path:
    """The same of a model that is in no registry, from the run that trained it."""
    trained = find_trained(store, experiment, model_digest)
    if trained is None:
        raise PipelineError(
            "MLflow does not have the files of this model.",
            expected=f"a run with the model {model_digest[:12]}…",
            remedy="'python -m pipeline sync' delivers what waits",
        )
    described = f"the model of run {trained.run_id[:8]}"
    with store.answering(f"The files of {described} cannot be downloaded") as client:
        uri = client.get_logged_model(trained.model_id).artifact_location
    return _download(store, uri, described, model_digest, folder)


def _aliases(registry: Registry) -> Mapping[str, int]:
    """Empty where no model of that name is registered yet."""
    with registry.store.answering("MLflow could not be asked for registered models") as client:
        found = client.search_registered_models(f"name = '{registry.name}'")
    return registry.read().aliases if found else {}


def _download(store: Store, uri: str, described: str, model_digest: str, folder: Path) -> Path:
    """The folder below `folder` that now holds the files; an empty `model_digest` is not known."""
    with store.answering(f"The files of {described} cannot be downloaded"):
        import mlflow.artifacts

        mlflow.artifacts.download_artifacts(
            artifact_uri=uri, dst_path=str(folder), tracking_uri=store.address
        )
    networks = list(folder.rglob(NETWORK_FILE))
    cards = list(folder.rglob(CARD_FILE))
    if len(networks) != 1 or len(cards) != 1 or networks[0].parent != cards[0].parent:
        raise PipelineError(
            f"There is no model of this pipeline in {described}.",
            expected=f"{NETWORK_FILE} and {CARD_FILE}",
            remedy="register models with: python -m pipeline register",
        )
    found = digest_file(networks[0])
    if model_digest not in ("", found):
        raise PipelineError(
            f"The network of {described} is not the one that was recorded.",
            expected=f"SHA-256 {model_digest}",
            found=found,
        )
    return networks[0].parent


def tags_of_version(store: Store, name: str, number: int) -> dict[str, str]:
    """Tags of the run that trained a registered model, and run_id. Raises PipelineError."""
    return _lineage(store, Registry(store, name).version(number).run_id)


def tags_of_model(store: Store, experiment: str, model_digest: str) -> dict[str, str]:
    """Tags of the run that trained a model, and run_id; empty where MLflow does not have it.

    Raises PipelineError where MLflow does not answer.
    """
    trained = find_trained(store, experiment, model_digest)
    return _lineage(store, trained.run_id) if trained else {}


def _lineage(store: Store, run_id: str) -> dict[str, str]:
    found = tags_of_run(store, run_id)
    return {name: found[name] for name in tags.LINEAGE if name in found} | {"run_id": run_id}


def record_export(
    store: Store, experiment: str, registered_name: str, model: ExportedModel, folder: Path
) -> str:
    """Add an export to the run that trained the model, and to its version where it has one.

    The figures of every format become metrics `export/<format>/...` of the run and its logged model, the
    files artifacts below `export/<version>/`; the version gets the tags `exported` and `formats`.

    Args:
      store: where the model is.
      experiment: that the run is in.
      registered_name: the registered model whose version it may be.
      model: what was exported.
      folder: of its export.json.

    Returns:
      What was done, in a few words.

    Raises:
      PipelineError: MLflow does not answer, or does not have the model.
    """
    trained = find_trained(store, experiment, model.model_digest)
    if trained is None:
        raise PipelineError("MLflow does not have this model.")
    with store.answering("MLflow has not taken the export") as client:
        _log_metrics(client, trained, model)
        _log_files(client, trained, model, folder)
    registry = Registry(store, registered_name)
    version = registry.version_of(model.model_digest)
    if version is None:
        return f"with run {trained.run_id[:8]} in MLflow"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    registry.describe(version, {tags.EXPORTED: now, tags.FORMATS: " ".join(model.files)})
    return f"with version {version.number} of '{registry.name}' in MLflow"


def _log_metrics(client: "MlflowClient", trained: TrainedRun, model: ExportedModel) -> None:
    from mlflow.entities import Metric

    now = round(1000 * time.time())
    metrics = [
        Metric(f"export/{name}/{key}", value, now, 0, model_id=trained.model_id)
        for name, file in model.files.items()
        for key, value in _figures(file).items()
    ]
    client.log_batch(trained.run_id, metrics=metrics)


def _figures(file: ExportedFile) -> dict[str, float]:
    return {
        "size_bytes": file.size_bytes,
        "compressed_bytes": file.compressed_bytes,
        "accuracy": file.accuracy,
        "largest_difference": file.largest_difference,
        "latency_ms": file.latency_ms.median,
        "latency_p99_ms": file.latency_ms.p99,
        "images_per_second": file.images_per_second,
        "cold_start_seconds": file.cold_start_seconds,
    }


def _log_files(client: "MlflowClient", trained: TrainedRun, model: ExportedModel, folder: Path) -> None:
    place = f"export/{model.version}"
    client.log_artifacts(trained.run_id, str(folder), place)
    if SAVED_MODEL_FORMAT in model.files:
        saved_model = model.file(folder, SAVED_MODEL_FORMAT)
        client.log_artifacts(trained.run_id, str(saved_model), f"{place}/{SAVED_MODEL_FORMAT}")
