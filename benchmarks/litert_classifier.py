"""A LiteRT file behind the servers that ours is compared with; imports nothing of this project.

Decodes with Pillow and computes with one thread, as a worker of ours does.
"""

import io
import os
import threading

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

FILE, CLASSES, WORKERS = "SERVED_FILE", "SERVED_CLASSES", "SERVED_WORKERS"
"""Variables of the environment that say what is served; classes with line feeds between them."""


class Classifier:
    def __init__(self) -> None:
        """Opens the file that the environment names."""
        self._classes = os.environ[CLASSES].split("\n")
        self._interpreter = Interpreter(model_path=os.environ[FILE], num_threads=1)
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]["index"]
        _, height, width, channels = self._input["shape"]
        self._size, self._mode = (int(width), int(height)), "RGB" if channels == 3 else "L"
        self._interpreter.allocate_tensors()
        self._alone = (
            threading.Lock()
        )  # MLflow asks from several threads at once, for which LiteRT is not made

    def classify_file(self, data: bytes) -> dict[str, float]:
        with Image.open(io.BytesIO(data)) as image:
            return self.classify(image)

    def classify(self, image: Image.Image) -> dict[str, float]:
        """Probabilities by class."""
        pixels = np.asarray(image.convert(self._mode).resize(self._size), np.uint8)
        with self._alone:
            self._interpreter.set_tensor(self._input["index"], pixels.reshape(self._input["shape"]))
            self._interpreter.invoke()
            probabilities = self._interpreter.get_tensor(self._output)[0]
        return dict(zip(self._classes, probabilities.tolist(), strict=True))
