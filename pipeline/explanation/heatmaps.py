"""Where in an image a network finds what speaks for a class.

Grad-CAM (Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", 2017) weighs each channel of a layer with its gradient, averaged over all places. In the last
layer before a global pooling that is exact, but small images leave 3x3 cells there. In a finer layer the
average mixes places that speak for the class with places that speak against it. HiResCAM (Draelos and Carin,
"Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks", 2020) leaves
the average out: activation times gradient, cell by cell. Under global average pooling they are the same.

Networks without convolutions get the gradient of the score by the pixels: Simonyan et al., "Deep Inside
Convolutional Networks", 2014.
"""

from typing import assert_never

import keras
import numpy as np
import tensorflow as tf

from pipeline.explanation.opened_network import LayerOutput, OpenedNetwork
from pipeline.foundation.array_types import Float32, Int64, UInt8
from pipeline.images.parallel import with_progress
from pipeline.params.evaluate import HeatmapMethod
from pipeline.scoring.explanations import INPUT_GRADIENT, INPUT_LAYER, UsedMethod

AUTO = "auto"

_SMALLEST_SIDE = 6
"""Cells. The last layers often keep 3x3 or less of a small image, which say hardly where anything is."""
_SMALLEST_CELL = 2
"""Pixels. Images below 12 pixels cannot have as many cells; theirs need not be smaller than this."""
_LARGEST_SALIENCY = 64
"""Cells a side of input gradients; those of larger images are averaged over squares of pixels."""
_PIXELS_AT_ONCE = 1 << 18
"""In a batch: the gradient needs all activations of its images, some kilobytes per pixel."""


class Heatmaps:
    """Computes heatmaps of one network.

    Attributes:
      method: the one asked for, or INPUT_GRADIENT in a network without convolutions.
      layer: name of the layer whose activations are weighed, or INPUT_LAYER.
    """

    def __init__(self, network: OpenedNetwork, method: HeatmapMethod, layer: str) -> None:
        """`layer` is the name of one, or "auto"; "auto" is also what a network without that layer gets."""
        chosen = named_layer(network, layer) or _deepest_sharp_layer(network)
        self.layer = chosen.name if chosen else INPUT_LAYER
        self.method: UsedMethod = method if chosen else INPUT_GRADIENT
        # Gradients start from the image in floats: a tape cannot watch whole numbers.
        self._to_floats = network.reading(network.scaled_image)
        wanted = [chosen.tensor, network.logits] if chosen else network.logits
        self._network = keras.Model(network.scaled_image, wanted)

    def compute(
        self, images: UInt8[np.ndarray, "n h w c"], classes: Int64[np.ndarray, " n"], doing: str
    ) -> Float32[np.ndarray, "n rows columns"]:
        """What speaks for a class, each heatmap divided by its maximum.

        Args:
          images: at least one.
          classes: the class of each image that is asked for.
          doing: what a line of progress on the terminal counts batches of.

        Returns:
          0 to 1, in the layer's own resolution; all zero where nothing speaks for the class.
        """
        size = max(1, _PIXELS_AT_ONCE // (images.shape[1] * images.shape[2]))
        batches = [slice(start, start + size) for start in range(0, len(images), size)]
        parts = [
            _heat(self.method, *self._activations_and_gradients(images[rows], classes[rows]))
            for rows in with_progress(batches, len(batches), doing)
        ]
        heatmaps = np.concatenate(parts)
        peaks = heatmaps.max(axis=(1, 2), keepdims=True)
        return np.asarray(np.divide(heatmaps, peaks, out=np.zeros_like(heatmaps), where=peaks > 0))

    def _activations_and_gradients(
        self, images: UInt8[np.ndarray, "n h w c"], classes: Int64[np.ndarray, " n"]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What the layer returns, (n, rows, columns, c), and the gradient of each image's score by it.

        In place of a layer it may be the image in floats.
        """
        floats = self._to_floats(images, training=False)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(floats)
            if self.layer == INPUT_LAYER:
                activations, logits = floats, self._network(floats, training=False)
            else:
                activations, logits = self._network(floats, training=False)
            score = tf.reduce_sum(tf.gather(logits, classes, batch_dims=1))
        return activations, tape.gradient(score, activations)


def named_layer(network: OpenedNetwork, name: str) -> LayerOutput | None:
    """The last layer of that name that returns a map; inside a nested network its own name is enough."""
    named = (each for each in reversed(network.outputs) if name in (each.name, each.name.rpartition("/")[2]))
    return next((each for each in named if each.is_map), None)


def _deepest_sharp_layer(network: OpenedNetwork) -> LayerOutput | None:
    """The last layer with enough cells to say where something is; None in a network without convolutions."""
    smallest = min(_SMALLEST_SIDE, network.image.shape[1] // _SMALLEST_CELL)
    sharp = [each for each in network.maps if each.side >= smallest]
    return sharp[-1] if sharp else next(iter(network.maps), None)


def _heat(
    method: UsedMethod, activations: tf.Tensor, gradients: tf.Tensor
) -> Float32[np.ndarray, "n rows columns"]:
    match method:
        case "hires_cam":
            return _hires_cam(activations, gradients)
        case "grad_cam":
            return _grad_cam(activations, gradients)
        case "input_gradient":
            return _input_gradient(gradients)
    assert_never(method)


def _hires_cam(activations: tf.Tensor, gradients: tf.Tensor) -> Float32[np.ndarray, "n rows columns"]:
    """Activation times gradient, summed over the channels; what is negative becomes 0."""
    return np.asarray(tf.nn.relu(tf.reduce_sum(gradients * activations, axis=-1)))


def _grad_cam(activations: tf.Tensor, gradients: tf.Tensor) -> Float32[np.ndarray, "n rows columns"]:
    """The same with each channel's mean gradient."""
    return _hires_cam(activations, tf.reduce_mean(gradients, axis=(1, 2), keepdims=True))


def _input_gradient(gradients: tf.Tensor) -> Float32[np.ndarray, "n rows columns"]:
    """The largest absolute gradient among the channels of each pixel."""
    saliency = tf.reduce_max(tf.abs(gradients), axis=-1, keepdims=True)
    square = -(-saliency.shape[1] // _LARGEST_SALIENCY)
    return np.asarray(tf.nn.avg_pool2d(saliency, square, square, padding="SAME")[..., 0])
