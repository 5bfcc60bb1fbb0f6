"""A network as TensorFlow Serving serves it, with the preparation of encoded images inside.

Two signatures, both answering `probabilities`, float32 (N, K), and nothing else: with a second output,
TensorFlow Serving's rows would be objects instead of lists of probabilities.

    serving_default   image: uint8 (N, height, width, channels), of the network's own size
    serve_bytes       image_bytes: string (N,), JPEG or PNG files of any size

The names of the classes, in the order of the probabilities, are in `assets/classes.json`.

Which files `serve_bytes` reads differently from the rest of the project is listed in `graph_images`.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.deployment import graph_images
from pipeline.foundation.array_types import Float32, UInt8
from pipeline.foundation.files import write_json
from pipeline.inference.preprocessing import PreprocessingSpec

PIXELS_SIGNATURE, BYTES_SIGNATURE = "serving_default", "serve_bytes"
PIXELS_INPUT, _BYTES_INPUT = "image", "image_bytes"


def write_saved_model(network: keras.Model, spec: PreprocessingSpec, folder: Path) -> None:
    """Write what TensorFlow Serving needs in `<name>/<version>/`.

    Args:
      network: uint8 images (N, *spec.shape) to probabilities (N, K).
      spec: how encoded images are prepared, and the names of the classes.
      folder: new, or empty.
    """

    def answer(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": network(pixels, training=False)}

    def serve_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = tf.map_fn(
            lambda data: graph_images.decode_in_graph(data, spec),
            image_bytes,
            fn_output_signature=tf.TensorSpec(spec.shape, tf.uint8),
        )
        return answer(pixels)

    encoded = tf.TensorSpec((None,), tf.string, _BYTES_INPUT)
    signatures = {
        PIXELS_SIGNATURE: tf.function(answer, [_pixels(spec)], autograph=False),
        BYTES_SIGNATURE: tf.function(serve_bytes, [encoded], autograph=False),
    }
    with tempfile.TemporaryDirectory() as scratch:
        classes = Path(scratch) / "classes.json"
        write_json(classes, list(spec.classes))
        _save(network, signatures, folder, tf.saved_model.Asset(str(classes)))


def write_bare_saved_model(network: keras.Model, spec: PreprocessingSpec, folder: Path) -> None:
    """Write only pixels to probabilities: what the converters to other formats understand."""

    def probabilities(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": network(pixels, training=False)}

    _save(network, {PIXELS_SIGNATURE: tf.function(probabilities, [_pixels(spec)], autograph=False)}, folder)


def _save(
    network: keras.Model,
    signatures: dict[str, Any],
    folder: Path,
    classes: tf.saved_model.Asset | None = None,
) -> None:
    # keras.export.ExportArchive would store every weight twice.
    module = tf.Module()
    module.classes = classes
    module.weights = [variable.value for variable in network.variables]
    tf.saved_model.save(module, str(folder), signatures=signatures)


def _pixels(spec: PreprocessingSpec) -> tf.TensorSpec:
    return tf.TensorSpec((None, *spec.shape), tf.uint8, PIXELS_INPUT)


class SavedModelPredictor:
    """A SavedModel of ours, through its two signatures."""

    def __init__(self, folder: Path) -> None:
        self._loaded = tf.saved_model.load(str(folder))  # keeps the variables alive
        self._pixels = self._loaded.signatures[PIXELS_SIGNATURE]
        self._bytes = self._loaded.signatures[BYTES_SIGNATURE]

    def predict(self, images: UInt8[np.ndarray, "n h w c"]) -> Float32[np.ndarray, "n k"]:
        """Class probabilities of images of the network's own size."""
        return np.asarray(self._pixels(**{PIXELS_INPUT: tf.constant(images)})["probabilities"])

    def predict_encoded(self, files: Sequence[bytes]) -> Float32[np.ndarray, "n k"]:
        """Class probabilities of encoded images."""
        return np.asarray(self._bytes(**{_BYTES_INPUT: tf.constant(list(files))})["probabilities"])
