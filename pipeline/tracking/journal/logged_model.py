"""A trained model as an MLflow LoggedModel that loads without the pipeline's package."""

import json
import tempfile
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pipeline
from pipeline.tracking import tags
from pipeline.tracking.provenance import installed_version
from pipeline.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.models import ModelSignature

_NAME = "model"
MODEL_CODE = Path(__file__).with_name("mlflow_model.py")
"""The code that MLflow runs when somebody loads a logged model."""
DECODING_CODE = Path(pipeline.__file__).parent / "images" / "decoding.py"
"""The code that decodes images; a copy travels inside every logged model."""


@dataclass(frozen=True)
class _Artifacts:
    """The files inside a logged model, by the names under which its code finds them."""

    network: Path
    card: Path
    decoding: Path


def log_model(
    store: Store,
    run_id: str,
    digest: str,
    *,
    network: Path,
    card: Path,
    code: Path = MODEL_CODE,
    decoding: Path = DECODING_CODE,
) -> str:
    """Log a model to the run that trained it and return its id; one that is there already is kept.

    Args:
      store: where the run is.
      run_id: the run.
      digest: of `network`.
      network: model.keras.
      card: card.json.
      code: `mlflow_model.py` as it was when the model was trained, or else as it is now.
      decoding: `images/decoding.py`, likewise.
    """
    from mlflow.entities import LoggedModelOutput

    run = store.client.get_run(run_id)
    model_id = _complete_model(store, run, digest)
    if model_id is None:
        model_id = _create_model(store, run, digest, _Artifacts(network, card, decoding), code)
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


def _create_model(store: Store, run: "Run", digest: str, artifacts: _Artifacts, code: Path) -> str:
    from mlflow.entities import LoggedModelStatus

    card = json.loads(artifacts.card.read_text(encoding="utf-8"))
    model = store.client.create_logged_model(
        run.info.experiment_id,
        name=_NAME,
        source_run_id=run.info.run_id,
        model_type="image classifier",
        params=run.data.params,
        tags={
            **{name: run.data.tags[name] for name in tags.LINEAGE if name in run.data.tags},
            tags.MODEL_DIGEST: digest,
            tags.CANDIDATE: card["candidate"],
            tags.NETWORK: card["network"],
            tags.CLASSES: json.dumps(card["preprocessing"]["classes"], ensure_ascii=False),
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / _NAME
        _save(saved, model.model_id, run.info.run_id, len(card["preprocessing"]["classes"]), artifacts, code)
        store.client.log_model_artifacts(model.model_id, str(saved))
    store.client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    return str(model.model_id)


def _save(
    folder: Path, model_id: str, run_id: str, num_classes: int, artifacts: _Artifacts, code: Path
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
            artifacts={name: str(path) for name, path in asdict(artifacts).items()},
            signature=_signature(num_classes),
            pip_requirements=_requirements(),
        )


def _signature(num_classes: int) -> "ModelSignature":
    """To float32 probabilities (N, classes), from what the model's own code accepts.

    MLflow has no way to say "an array of pixels, or encoded images": a TensorSpec refuses bytes, and
    every column type, AnyType too, requires a table. So the inputs stay open, and the code checks them.
    """
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    return ModelSignature(outputs=Schema([TensorSpec(np.dtype("float32"), (-1, num_classes))]))


def _requirements() -> list[str]:
    """What the model needs, in the versions that it was trained with."""
    names = ("mlflow", "keras", "tensorflow", "tensorflow-cpu", "numpy", "pandas", "pillow")
    return [f"{name}=={version}" for name in names if (version := installed_version(name))]
