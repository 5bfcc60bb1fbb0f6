"""A trained model as an MLflow LoggedModel that loads without the pipeline's package."""

import json
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.tracking.provenance import installed_version
from pipeline.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.models import ModelSignature

_NAME = "model"
_INHERITED_TAGS = (
    "stage",
    "origin",
    "git_commit",
    "git_dirty",
    "dvc_experiment",
    "dvc_baseline",
    "data_digest",
    "params_digest",
    "environment_digest",
)


def log_model(store: Store, run_id: str, digest: str, *, network: Path, card: Path, code: Path) -> str:
    """Log a model to the run that trained it and return its id; one that is there already is kept.

    Args:
      store: where the run is.
      run_id: the run.
      digest: of `network`.
      network: model.keras.
      card: card.json.
      code: a copy of `mlflow_model.py`.
    """
    from mlflow.entities import LoggedModelOutput

    run = store.client.get_run(run_id)
    model_id = _complete_model(store, run, digest)
    if model_id is None:
        model_id = _create_model(store, run, digest, network=network, card=card, code=code)
    linked = run.outputs.model_outputs if run.outputs else []
    if model_id not in [output.model_id for output in linked]:
        store.client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    return model_id


def _complete_model(store: Store, run: "Run", digest: str) -> str | None:
    """Id of this model if it is there; what a delivery that was killed has left of it is deleted."""
    complete = None
    for model in store.logged_models_of(run, digest):
        if model.status == "READY":
            complete = model.model_id
        else:
            store.client.delete_logged_model(model.model_id)
    return complete


def _create_model(store: Store, run: "Run", digest: str, *, network: Path, card: Path, code: Path) -> str:
    from mlflow.entities import LoggedModelStatus

    description = json.loads(card.read_text(encoding="utf-8"))
    model = store.client.create_logged_model(
        run.info.experiment_id,
        name=_NAME,
        source_run_id=run.info.run_id,
        model_type="image classifier",
        params=run.data.params,
        tags={
            **{name: run.data.tags[name] for name in _INHERITED_TAGS if name in run.data.tags},
            "model_digest": digest,
            "candidate": description["candidate"],
            "network": description["network"],
            "classes": ", ".join(description["preprocessing"]["classes"])[:5000],
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / _NAME
        _save(saved, model.model_id, run.info.run_id, description, network=network, card=card, code=code)
        store.client.log_model_artifacts(model.model_id, str(saved))
    store.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    return str(model.model_id)


def _save(
    folder: Path,
    model_id: str,
    run_id: str,
    card_values: dict[str, Any],
    *,
    network: Path,
    card: Path,
    code: Path,
) -> None:
    """Write the model in MLflow's format, without importing Keras: its code runs when it is loaded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about input examples; the signature is stated
        import mlflow.pyfunc
        from mlflow.models import Model

        mlflow.pyfunc.save_model(
            path=str(folder),
            mlflow_model=Model(artifact_path=_NAME, model_uuid=model_id, run_id=run_id, model_id=model_id),
            python_model=str(code),
            artifacts={"network": str(network), "card": str(card)},
            signature=_signature(card_values),
            pip_requirements=_requirements(),
        )


def _signature(card: dict[str, Any]) -> "ModelSignature":
    """From uint8 images (N, height, width, channels) to float32 probabilities (N, classes)."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    preprocessing = card["preprocessing"]
    size, channels = preprocessing["image_size"], 1 if preprocessing["color"] == "grayscale" else 3
    images = TensorSpec(np.dtype("uint8"), (-1, size, size, channels))
    probabilities = TensorSpec(np.dtype("float32"), (-1, len(preprocessing["classes"])))
    return ModelSignature(inputs=Schema([images]), outputs=Schema([probabilities]))


def _requirements() -> list[str]:
    """What the model needs, in the versions that it was trained with."""
    names = ("mlflow", "keras", "tensorflow", "tensorflow-cpu", "numpy", "pandas")
    return [f"{name}=={version}" for name in names if (version := installed_version(name))]
