"""Networks as ONNX files, for ONNX Runtime and whatever else reads them."""

import keras
import onnx
import tensorflow as tf
import tf2onnx

from pipeline.deployment.saved_model import PIXELS_INPUT
from pipeline.inference.preprocessing import PreprocessingSpec

_OPSET = 18
"""Of ONNX's operators; runtimes since 2023 know it."""


def convert_to_onnx(network: keras.Model, spec: PreprocessingSpec) -> bytes:
    """From `image`, uint8 (N, height, width, channels), to `probabilities`, float32 (N, K)."""
    signature = [tf.TensorSpec((None, *spec.shape), tf.uint8, PIXELS_INPUT)]

    def probabilities(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": network(image, training=False)}

    function = tf.function(probabilities, signature, autograph=False)
    model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=_OPSET)
    _fix_constants(model.graph, function.get_concrete_function())
    return bytes(model.SerializeToString())


def _fix_constants(graph: onnx.GraphProto, function: tf.types.experimental.ConcreteFunction) -> None:
    """Give constants their values: tf2onnx makes inputs of those that a Normalization layer brings along."""
    constants = {
        inside.name: outside.numpy()
        for outside, inside in function.graph.captures
        if inside.dtype != tf.resource
    }
    for found in [each for each in graph.input if each.name in constants]:
        graph.input.remove(found)
        graph.initializer.append(onnx.numpy_helper.from_array(constants[found.name], found.name))
