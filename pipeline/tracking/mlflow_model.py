"""The code inside a logged model: from uint8 images to class probabilities.

MLflow stores this file beside the model and runs it when somebody loads the model ("models from
code"), so it must not import the pipeline's package. Whoever only logs or lists models does not
import Keras either.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

_BATCH_SIZE = 256


class ImageClassifier(PythonModel):
    """Predicts probabilities, one column per class; scaling of the pixels is inside the network."""

    def load_context(self, context: Any) -> None:
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        import keras

        card = json.loads(Path(context.artifacts["card"]).read_text(encoding="utf-8"))
        self.classes = card["preprocessing"]["classes"]
        self.network = keras.models.load_model(context.artifacts["network"], compile=False)

    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> pd.DataFrame:
        """Class probabilities, float32 (N, K), of uint8 images (N, height, width, channels)."""
        starts = range(0, max(len(model_input), 1), _BATCH_SIZE)
        batches = (model_input[start : start + _BATCH_SIZE] for start in starts)
        parts = [np.asarray(self.network.predict_on_batch(batch)) for batch in batches]
        return pd.DataFrame(np.concatenate(parts), columns=self.classes)


set_model(ImageClassifier())
