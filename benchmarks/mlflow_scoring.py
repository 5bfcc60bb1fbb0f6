"""A LiteRT file as a model of MLflow's, behind its scoring server; imports nothing of this project.

    SERVED_FILE=... SERVED_CLASSES=... SERVED_WORKERS=2 python benchmarks/mlflow_scoring.py FOLDER PORT

FOLDER, which does not exist yet, is where the model is saved. Images arrive as MLflow has them for models of
any kind: base64 in JSON.
"""

import base64
import os
import sys
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd
from litert_classifier import FILE, WORKERS, Classifier
from mlflow.pyfunc.model import PythonModel


class LiteRtModel(PythonModel):
    def load_context(self, context: Any) -> None:
        self._classifier = Classifier()

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> list[dict[str, float]]:
        return [self._classifier.classify_file(base64.b64decode(text)) for text in model_input["file"]]


if __name__ == "__main__":
    folder, port = sys.argv[1], sys.argv[2]
    mlflow.pyfunc.save_model(
        folder,
        python_model=LiteRtModel(),
        artifacts={"file": os.environ[FILE]},
        code_paths=[str(Path(__file__).with_name("litert_classifier.py"))],
        pip_requirements=[],
    )
    options = ("--env-manager", "local", "--host", "127.0.0.1", "--workers", os.environ[WORKERS])
    command = (
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "serve",
        "--model-uri",
        folder,
        "--port",
        port,
        *options,
    )
    # It starts uvicorn by its name.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    os.execv(sys.executable, command)
