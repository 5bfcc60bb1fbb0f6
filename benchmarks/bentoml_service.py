"""A LiteRT file behind BentoML, as its guide has it; imports nothing of this project.

    cd benchmarks && SERVED_FILE=... SERVED_CLASSES=... SERVED_WORKERS=2 \\
        python -m bentoml serve bentoml_service:Images --port PORT
"""

import os

import bentoml
from litert_classifier import WORKERS, Classifier
from PIL import Image


@bentoml.service(workers=int(os.environ[WORKERS]))
class Images:
    def __init__(self) -> None:
        self._classifier = Classifier()

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, file: Image.Image) -> dict[str, float]:
        probabilities: dict[str, float] = self._classifier.classify(file)
        return probabilities
