"""Networks as LiteRT files (.tflite), in float32 or with smaller numbers.

The converter's own names for these: "float16 quantization", "dynamic range quantization" and "full
integer quantization" (https://ai.google.dev/edge/litert/conversion/tensorflow/quantization).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from pipeline.foundation.array_types import UInt8
from pipeline.images.arrays import ImageArrays
from pipeline.images.splitting import stratified_counts


def convert_to_float32(saved_model: Path) -> bytes:
    """The network as it is."""
    return _converted(_converter(saved_model))


def convert_to_float16(saved_model: Path) -> bytes:
    """Weights in float16; a processor without it computes in float32."""
    converter = _converter(saved_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return _converted(converter)


def convert_to_dynamic_int8(saved_model: Path) -> bytes:
    """Weights in 8 bits; activations in 8 bits too, each time with the range that they have."""
    converter = _converter(saved_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return _converted(converter)


def convert_to_int8(saved_model: Path, calibration: UInt8[np.ndarray, "m h w c"]) -> bytes:
    """All in 8 bits, for processors that have nothing else; input uint8, output float32 as everywhere.

    Args:
      saved_model: the network, from pixels to probabilities.
      calibration: images from which the ranges of activations are taken.
    """

    def one_by_one() -> Iterator[list[UInt8[np.ndarray, "1 h w c"]]]:
        for image in calibration:
            yield [image[np.newaxis]]

    converter = _converter(saved_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = one_by_one
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    return _converted(converter)


def calibration_images(
    train: ImageArrays, num_classes: int, count: int, seed: int
) -> UInt8[np.ndarray, "m h w c"]:
    """`count` training images, or all where there are fewer, of each class in proportion."""
    sizes = np.bincount(train.labels, minlength=num_classes)
    counts = stratified_counts(sizes, min(count, len(train)))
    generator = np.random.default_rng(seed)
    rows = [
        generator.permutation(np.flatnonzero(train.labels == label))[:wanted]
        for label, wanted in enumerate(counts.tolist())
    ]
    return np.asarray(train.images[np.sort(np.concatenate(rows))])


def _converter(saved_model: Path) -> tf.lite.TFLiteConverter:
    # From functions in memory the variables would not be frozen into the file, which then predicts NaN.
    return tf.lite.TFLiteConverter.from_saved_model(str(saved_model))


def _converted(converter: tf.lite.TFLiteConverter) -> bytes:
    return bytes(converter.convert())
