"""Registered models brought here, and exports added to them, in a real MLflow store."""

import json
from pathlib import Path

import pytest

from pipeline.foundation.digests import digest_bytes
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.inference.exported_model import ExportedModel
from pipeline.tracking import tags
from pipeline.tracking.journal.logged_model import log_model
from pipeline.tracking.registry.model_files import (
    champion,
    download_trained,
    download_version,
    record_export,
    tags_of_model,
    tags_of_version,
)
from pipeline.tracking.registry.registry import CHAMPION, Registry, Version
from pipeline.tracking.runs.trainings import TrainedRun
from pipeline.tracking.store import Store
from tests.serving.tiny_model import describe, export

# MLflow 3.17 uses what SQLAlchemy 2.1 will drop.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

EXPERIMENT = "image-classification"
NETWORK = b"a network"
DIGEST = digest_bytes(NETWORK)
CARD = {
    "candidate": "baseline",
    "network": "fast_cnn",
    "preprocessing": {"image_size": 8, "resize": "pad", "color": "rgb", "classes": ["cat", "dog"]},
}


@pytest.fixture(scope="module")
def registry(store: Store) -> Registry:
    return Registry(store, "model")


@pytest.fixture(scope="module")
def trained(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    """A run and its logged model, with files as a training leaves them."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "model.keras").write_bytes(NETWORK)
    (folder / "card.json").write_text(json.dumps(CARD), encoding="utf-8")
    client = registry.store.client
    values = {tags.MODEL_DIGEST: DIGEST, tags.GIT_COMMIT: "c" * 40, "unrelated": "tag"}
    run = client.create_run(registry.store.experiment_id(EXPERIMENT), tags=values)
    model_id = log_model(
        registry.store,
        run.info.run_id,
        DIGEST,
        network=folder / "model.keras",
        card=folder / "card.json",
    )
    return TrainedRun(run.info.run_id, model_id)


@pytest.fixture(scope="module")
def version(registry: Registry, trained: TrainedRun) -> Version:
    """Version 1 of `model`, the champion."""
    version = registry.create_version(trained, {tags.MODEL_DIGEST: DIGEST})
    registry.set_alias(CHAMPION, version.number)
    return version


def test_a_version_comes_with_its_files_and_its_lineage(
    store: Store, trained: TrainedRun, version: Version, tmp_path: Path
) -> None:
    folder = download_version(store, "model", version.number, tmp_path)
    assert (folder / "model.keras").read_bytes() == NETWORK
    assert json.loads((folder / "card.json").read_text(encoding="utf-8")) == CARD
    assert tags_of_version(store, "model", version.number) == {
        tags.MODEL_DIGEST: DIGEST,
        tags.GIT_COMMIT: "c" * 40,
        "run_id": trained.run_id,
    }


def test_a_model_that_was_never_registered_comes_from_its_run(
    store: Store, trained: TrainedRun, tmp_path: Path
) -> None:
    folder = download_trained(store, EXPERIMENT, DIGEST, tmp_path)
    assert (folder / "model.keras").read_bytes() == NETWORK
    with pytest.raises(PipelineError, match="MLflow does not have the files of this model"):
        download_trained(store, EXPERIMENT, "1" * 64, tmp_path)


def test_another_network_than_the_registered_one_is_an_error(
    store: Store, registry: Registry, trained: TrainedRun, version: Version, tmp_path: Path
) -> None:
    foreign = registry.create_version(trained, {tags.MODEL_DIGEST: "0" * 64})
    with pytest.raises(PipelineError, match="is not the one that was recorded"):
        download_version(store, "model", foreign.number, tmp_path)


def test_a_version_or_alias_that_is_not_there_is_an_error(
    store: Store, registry: Registry, version: Version, tmp_path: Path
) -> None:
    with pytest.raises(PipelineError, match="There is no version 99 of 'model'"):
        download_version(store, "model", 99, tmp_path)
    with pytest.raises(PipelineError, match="No version of 'model' is 'challenger'"):
        registry.aliased("challenger")
    with pytest.raises(PipelineError, match="No model called 'other' is registered"):
        Registry(store, "other").aliased(CHAMPION)


def test_the_champion_is_known_once_there_is_one(store: Store, version: Version) -> None:
    assert champion(store, "model") == version.number
    assert champion(store, "other") is None


def test_without_a_store_nothing_is_made_to_ask(workspace: Workspace) -> None:
    assert champion(Store(workspace), "model") is None
    assert list(workspace.root.iterdir()) == []


def test_a_model_of_the_workspace_has_the_lineage_of_its_run(store: Store, trained: TrainedRun) -> None:
    found = tags_of_model(store, EXPERIMENT, DIGEST)
    assert found[tags.GIT_COMMIT] == "c" * 40
    assert found["run_id"] == trained.run_id
    assert tags_of_model(store, EXPERIMENT, "1" * 64) == {}


def exported(folder: Path, digest: str) -> tuple[ExportedModel, Path]:
    """An export whose model has this digest."""
    place = export(folder / "exports", name="model")
    saved_model = place.parent.parent / "tensorflow_serving" / "model" / "1"
    saved_model.mkdir(parents=True)
    (saved_model / "saved_model.pb").write_bytes(b"graph")
    onnx = place / "onnx.onnx"
    describe(place, "model", 1, {"onnx": onnx, "litert_fp32": onnx}, ("cat", "dog"), 8)
    values = json.loads((place / "export.json").read_text(encoding="utf-8"))
    values["model_digest"] = digest
    values["files"]["saved_model"] = {
        **values["files"]["onnx"],
        "path": "../../tensorflow_serving/model/1",
    }
    (place / "export.json").write_text(json.dumps(values), encoding="utf-8")
    return ExportedModel.load(place), place


def test_an_export_is_added_to_the_run_the_logged_model_and_the_version(
    store: Store, registry: Registry, trained: TrainedRun, version: Version, tmp_path: Path
) -> None:
    model, folder = exported(tmp_path, DIGEST)
    said = record_export(store, EXPERIMENT, "model", model, folder)
    assert said == "with version 1 of 'model' in MLflow"

    client = registry.store.client
    metrics = client.get_run(trained.run_id).data.metrics
    assert metrics["export/onnx/latency_ms"] == 0.1
    assert metrics["export/litert_fp32/size_bytes"] == (folder / "onnx.onnx").stat().st_size
    logged = client.get_logged_model(trained.model_id).metrics or []
    of_model = {metric.key: metric.value for metric in logged}
    assert of_model["export/onnx/latency_p99_ms"] == 0.2
    described = registry.version(1).tags
    assert described["formats"] == "onnx litert_fp32 saved_model"
    assert described["exported"].endswith("+00:00")

    kept = Path(client.download_artifacts(trained.run_id, "export/1", str(tmp_path)))
    assert (kept / "onnx.onnx").read_bytes() == (folder / "onnx.onnx").read_bytes()
    assert (kept / "export.json").exists()
    assert (kept / "saved_model" / "saved_model.pb").read_bytes() == b"graph"


def test_a_model_that_was_not_registered_is_recorded_with_its_run(
    store: Store, trained: TrainedRun, tmp_path: Path
) -> None:
    model, folder = exported(tmp_path, DIGEST)
    said = record_export(store, EXPERIMENT, "never-registered", model, folder)
    assert said == f"with run {trained.run_id[:8]} in MLflow"


def test_a_model_that_mlflow_does_not_have_is_an_error(store: Store, tmp_path: Path) -> None:
    model, folder = exported(tmp_path, "2" * 64)
    with pytest.raises(PipelineError, match="MLflow does not have this model"):
        record_export(store, EXPERIMENT, "model", model, folder)
