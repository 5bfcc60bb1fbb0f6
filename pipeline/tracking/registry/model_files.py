"""The files of registered models, and what an export adds to them: figures, tags and the exported files."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.foundation.digests import digest_file
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.inference.exported_model import SAVED_MODEL_FORMAT, ExportedFile, ExportedModel
from pipeline.tracking import tags
from pipeline.tracking.registry.registry import CHAMPION, Registry, TrainedRun, Version

EXPORTED = "exported"
"""Tag of a model version: when its model was last exported, UTC."""
FORMATS = "formats"
"""Tag of a model version: the formats of its model that have passed all checks, separated by spaces."""

_ADDRESS = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[\w-]+)|/(?P<number>\d+))")
_MODEL, _CARD = "model.keras", "card.json"


@dataclass(frozen=True)
class RegisteredFiles:
    """A model version on this machine.

    Attributes:
      name: of the registered model.
      version: of it.
      is_champion: whether that alias points to it.
      folder: of model.keras and card.json.
      lineage: tags of the run that trained it, and run_id.
    """

    name: str
    version: int
    is_champion: bool
    folder: Path
    lineage: Mapping[str, str]


def has_store(workspace: Workspace) -> bool:
    """Whether there is anything to ask, found out without importing MLflow, which takes seconds."""
    return "MLFLOW_TRACKING_URI" in os.environ or workspace.tracking_database.exists()


def champion_address(workspace: Workspace, name: str) -> str | None:
    """models:/<name>@champion, or None where no version is. Raises PipelineError where MLflow is silent."""
    if not has_store(workspace):
        return None
    registry = Registry(workspace, name)
    return f"models:/{name}@{CHAMPION}" if CHAMPION in _aliases(registry) else None


def download_model(workspace: Workspace, address: str, folder: Path) -> RegisteredFiles:
    """Bring model.keras and card.json of a model version into `folder`, which is empty.

    Args:
      workspace: whose store is asked.
      address: models:/<name>@<alias> or models:/<name>/<version>.
      folder: for the files.

    Raises:
      PipelineError: MLflow does not answer, there is no such version, or it is no model of ours.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise PipelineError(
            f"'{address}' names no registered model.",
            expected="models:/<name>@champion, or another alias, or models:/<name>/<version>",
        )
    registry = Registry(workspace, match["name"])
    aliases = registry.read().aliases
    if match["number"] is None and match["alias"] not in aliases:
        raise PipelineError(
            f"No version of '{registry.name}' is '{match['alias']}'.",
            expected="one of " + ", ".join(sorted(aliases)) if aliases else None,
            remedy="python -m pipeline promote makes a champion",
        )
    version = registry.version(int(match["number"] or aliases[match["alias"]]))
    return RegisteredFiles(
        name=registry.name,
        version=version.number,
        is_champion=aliases.get(CHAMPION) == version.number,
        folder=_download(registry, version, folder),
        lineage=_lineage(registry, version.run_id),
    )


@contextmanager
def _explained(registry: Registry, what: str) -> Iterator[None]:
    """Turn MLflow's errors into a PipelineError that says `what` and why."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        raise PipelineError(f"{what[0].upper()}{what[1:]}: {registry.store.why(error)}.") from error


def _aliases(registry: Registry) -> Mapping[str, int]:
    """Empty where no model of that name is registered yet."""
    with _explained(registry, "MLflow could not be asked for registered models"):
        found = registry.store.client.search_registered_models(f"name = '{registry.name}'")
    return registry.read().aliases if found else {}


def _download(registry: Registry, version: Version, folder: Path) -> Path:
    """The folder below `folder` that now holds the files."""
    import mlflow.artifacts

    client, described = registry.store.client, f"version {version.number} of '{registry.name}'"
    with _explained(registry, f"the files of {described} cannot be had"):
        mlflow.artifacts.download_artifacts(
            artifact_uri=client.get_model_version_download_uri(registry.name, str(version.number)),
            dst_path=str(folder),
            tracking_uri=registry.store.address,
        )
    networks = list(folder.rglob(_MODEL))
    cards = list(folder.rglob(_CARD))
    if len(networks) != 1 or len(cards) != 1 or networks[0].parent != cards[0].parent:
        raise PipelineError(
            f"There is no model of this pipeline in {described}.",
            expected=f"{_MODEL} and {_CARD}",
            remedy="register models with: python -m pipeline register",
        )
    found = digest_file(networks[0])
    if version.model_digest not in ("", found):
        raise PipelineError(
            f"The network of {described} is not the one that was registered.",
            expected=f"SHA-256 {version.model_digest}",
            found=found,
        )
    return networks[0].parent


def _lineage(registry: Registry, run_id: str) -> dict[str, str]:
    found = registry.run_tags(run_id)
    return {name: found[name] for name in tags.LINEAGE if name in found} | {"run_id": run_id}


def lineage_of_model(workspace: Workspace, experiment: str, model_digest: str) -> dict[str, str]:
    """Tags of the run that trained a model, and run_id; empty where MLflow does not have it.

    Raises PipelineError where MLflow does not answer.
    """
    registry = Registry(workspace, "")
    trained = registry.find_trained(experiment, model_digest)
    return _lineage(registry, trained.run_id) if trained else {}


def record_export(
    workspace: Workspace, experiment: str, registered_name: str, model: ExportedModel, folder: Path
) -> str:
    """Add an export to the run that trained the model, and to its version where it has one.

    The figures of every format become metrics `export/<format>/...` of the run and its logged model, the
    files artifacts below `export/<version>/`; the version gets the tags `exported` and `formats`.

    Args:
      workspace: whose store is asked.
      experiment: that the run is in.
      registered_name: the registered model whose version it may be.
      model: what was exported.
      folder: of its export.json.

    Returns:
      What was done, in a few words.

    Raises:
      PipelineError: MLflow does not answer, or does not have the model.
    """
    registry = Registry(workspace, registered_name)
    trained = registry.find_trained(experiment, model.model_digest)
    if trained is None:
        raise PipelineError("MLflow does not have this model.")
    with _explained(registry, "MLflow has not taken the export"):
        _log_metrics(registry, trained, model)
        _log_files(registry, trained, model, folder)
    version = registry.version_of(model.model_digest)
    if version is None:
        return f"with run {trained.run_id[:8]} in MLflow"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    registry.describe(version, {EXPORTED: now, FORMATS: " ".join(model.files)})
    return f"with version {version.number} of '{registry.name}' in MLflow"


def _log_metrics(registry: Registry, trained: TrainedRun, model: ExportedModel) -> None:
    from mlflow.entities import Metric

    now = round(1000 * time.time())
    metrics = [
        Metric(f"export/{name}/{key}", value, now, 0, model_id=trained.model_id)
        for name, file in model.files.items()
        for key, value in _figures(file).items()
    ]
    registry.store.client.log_batch(trained.run_id, metrics=metrics)


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


def _log_files(registry: Registry, trained: TrainedRun, model: ExportedModel, folder: Path) -> None:
    client, place = registry.store.client, f"export/{model.version}"
    client.log_artifacts(trained.run_id, str(folder), place)
    if SAVED_MODEL_FORMAT in model.files:
        saved_model = model.file(folder, SAVED_MODEL_FORMAT)
        client.log_artifacts(trained.run_id, str(saved_model), f"{place}/{SAVED_MODEL_FORMAT}")
