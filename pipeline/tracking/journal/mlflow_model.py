"""The code inside a logged model: from images, as pixels or as encoded files, to class probabilities.

MLflow stores this file beside the model and runs it when somebody loads the model ("models from
code"), so it must not import the pipeline's package; of that, only `images/decoding.py` travels with
it, as a file. Logging or listing models does not import Keras either.
"""

import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

_BATCH_SIZE = 256


class ImageClassifier(PythonModel):
    """Predicts probabilities, one column per class; scaling of the pixels is inside the network."""

    def load_context(self, context: Any) -> None:
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        import keras

        card = json.loads(Path(context.artifacts["card"]).read_text(encoding="utf-8"))
        self.preprocessing = card["preprocessing"]
        self.decoding = _module(Path(context.artifacts["decoding"]))
        network = Path(context.artifacts["network"])
        if hashlib.sha256(network.read_bytes()).hexdigest() != card["model_digest"]:
            raise _refusal(f"{network} is not the network that was logged: its SHA-256 is another.")
        self.network = keras.models.load_model(network, compile=False)

    # To MLflow this annotation means "nothing to check"; with any other it would check, or warn.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> pd.DataFrame:
        """Class probabilities, float32 (N, K), of N images; the columns are named as the classes.

        Args:
          context: unused; all is loaded before.
          model_input: pixels as uint8 (N, height, width, channels) of the network's own size, or
            encoded images of any size: `bytes`, a list of them, a NumPy array of objects, or a table
            or dictionary with one column of them. As JSON knows neither uint8 nor bytes, whole
            numbers of other types and base64 text are taken too.
          params: unused.

        Raises:
          MlflowException: a wrong shape or type, or an image that cannot be read; the text says which.
        """
        classes = self.preprocessing["classes"]
        parts = [np.zeros((0, len(classes)), dtype=np.float32)]
        parts += [np.asarray(self.network.predict_on_batch(batch)) for batch in self._batches(model_input)]
        return pd.DataFrame(np.concatenate(parts), columns=classes)

    def _batches(self, model_input: Any) -> Iterator[np.ndarray]:
        """Pixels, uint8 (n, height, width, channels), of a few images at a time."""
        column = _only_column(model_input)
        encoded = _encoded_images(column)
        if encoded is None:
            pixels = self._require_pixels(column)
            for start in range(0, len(pixels), _BATCH_SIZE):
                yield pixels[start : start + _BATCH_SIZE]
            return
        for start in range(0, len(encoded), _BATCH_SIZE):
            batch = enumerate(encoded[start : start + _BATCH_SIZE], start)
            yield np.stack([self._decode(data, index) for index, data in batch])

    def _decode(self, data: Any, index: int) -> np.ndarray:
        """Pixels of one encoded image, exactly as the pipeline makes them for the network."""
        spec = self.preprocessing
        try:
            pixels: np.ndarray = self.decoding.decode_to_square(
                self._as_bytes(data), spec["image_size"], spec["resize"], spec["color"]
            )
            return pixels
        except (self.decoding.UnreadableImageError, ValueError) as error:
            raise _refusal(f"Image {index} (the first is 0) cannot be read: {error}.") from None

    def _as_bytes(self, data: Any) -> bytes:
        """Raises ValueError where it is neither bytes nor base64 text."""
        if isinstance(data, str):
            try:
                return bytes(self.decoding.from_base64(data))
            except ValueError as error:
                raise ValueError(f"neither bytes nor base64 text ({error})") from None
        if not _is_encoded(data):
            raise ValueError(f"neither bytes nor base64 text, but {type(data).__name__}")
        return bytes(data)

    def _require_pixels(self, values: Any) -> np.ndarray:
        """The values as uint8 images of the network's shape. Raises MlflowException."""
        size = self.preprocessing["image_size"]
        shape = (size, size, 1 if self.preprocessing["color"] == "grayscale" else 3)
        expected = f"expected uint8 images of shape (N, {', '.join(map(str, shape))}) or encoded images"
        try:
            images = np.asarray(values)
        except ValueError:
            raise _refusal(f"The images differ in shape: {expected}.") from None
        if images.ndim != 4 or images.shape[1:] != shape:
            hint = "; put a single image into a list" if images.shape == shape else ""
            raise _refusal(f"Wrong shape {images.shape}: {expected}{hint}.")
        if images.dtype.kind not in "iuf":
            raise _refusal(f"Wrong type {images.dtype}: {expected}.")
        if images.dtype != np.uint8 and images.size and not (images.min() >= 0 and images.max() <= 255):
            raise _refusal(f"Pixels from {images.min()} to {images.max()}: {expected}, 0 to 255.")
        pixels = images.astype(np.uint8, copy=False)
        if images.dtype.kind == "f" and not np.array_equal(pixels, images):
            raise _refusal(f"Pixels that are not whole numbers: {expected}, 0 to 255.")
        return pixels


def _only_column(model_input: Any) -> Any:
    """What the model is asked about, out of a table or dictionary if need be. Raises MlflowException."""
    if isinstance(model_input, pd.DataFrame | Mapping):
        columns = list(model_input)
        if len(columns) != 1:
            raise _refusal(f"Expected one column of encoded images, found {len(columns)}.")
        model_input = model_input[columns[0]]
    return model_input.to_numpy() if isinstance(model_input, pd.Series) else model_input


def _encoded_images(values: Any) -> list[Any] | None:
    """The encoded images, each as bytes or base64 text; None where the values are pixels."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "OU" and values.ndim <= 1:
        values = values.reshape(-1).tolist()
    if _is_encoded(values):
        return [values]
    if isinstance(values, list | tuple) and (not values or any(map(_is_encoded, values))):
        return list(values)  # one that is not an encoded image is named when its turn comes
    if isinstance(values, np.ndarray) and values.dtype.kind == "S":
        raise _refusal("NumPy drops zeros from the end of bytes: give a list, or an array with dtype=object.")
    return None


def _is_encoded(value: Any) -> bool:
    return isinstance(value, bytes | bytearray | memoryview | str)


def _refusal(text: str) -> MlflowException:
    # Of all exceptions only this one's text reaches the person who asks a model that MLflow serves.
    refusal: MlflowException = MlflowException.invalid_parameter_value(text)
    return refusal


def _module(path: Path) -> ModuleType:
    """A module from its file alone, under no name: two models may bring different versions of it."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


set_model(ImageClassifier())
