"""A trained network with every layer's output within reach, also those of the networks inside it."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
_ACTIVATIONS = (
    layers.Activation,
    layers.Add,
    layers.Concatenate,
    layers.ELU,
    layers.LeakyReLU,
    layers.PReLU,
    layers.ReLU,
)


@dataclass(frozen=True)
class LayerOutput:
    """One layer as it was called.

    Attributes:
      name: of the layer; of one inside a nested network "<network>/<layer>", as in the model card.
      layer: itself, with its weights.
      input: what it was called with (of several inputs the first).
      tensor: what it returned.
      oldest_input: position, among all outputs, of the earliest one that it reads; -1 for the image.
    """

    name: str
    layer: layers.Layer
    input: keras.KerasTensor
    tensor: keras.KerasTensor
    oldest_input: int

    @property
    def is_map(self) -> bool:
        """Whether it returns values in two spatial dimensions: (N, height, width, channels)."""
        return len(self.tensor.shape) == 4

    @property
    def side(self) -> int:
        """The shorter side of its map, in cells."""
        return int(min(self.tensor.shape[1:3]))

    @property
    def is_activation(self) -> bool:
        """Whether it ends a step of the network: a nonlinearity, or what joins branches after one."""
        if isinstance(self.layer, _CONVOLUTIONS):
            return bool(self.layer.activation is not keras.activations.linear)
        return isinstance(self.layer, _ACTIVATIONS)


class OpenedNetwork:
    """The layers of a functional network that ends in a softmax, as one flat graph on the same weights.

    Keras keeps a nested network as a single layer whose inner tensors belong to another graph. Here all
    layers are called again, those of nested networks one by one.

    Attributes:
      image: the input, uint8 (N, height, width, channels).
      outputs: of every layer, in the order of computation.
      logits: float32, (N, K); what the softmax is applied to. A probability near 1 hardly changes
        whatever the image does, so that explanations start from the score before it.
    """

    def __init__(self, network: keras.Model) -> None:
        self.outputs: list[LayerOutput] = []
        self.image: keras.KerasTensor = keras.Input(
            batch_shape=network.input.shape, dtype=network.input.dtype
        )
        self._positions = {id(self.image): -1}
        self._walk(network, self.image, prefix="")
        softmax = self.outputs[-1]
        assert isinstance(softmax.layer, layers.Softmax), softmax.name
        self.logits: keras.KerasTensor = softmax.input

    @property
    def maps(self) -> list[LayerOutput]:
        """Activations in two dimensions that hold all that the network still knows of the image.

        They begin with the first convolution. Left out is what lies on one of several branches, and what
        merely prepares an activation or repeats it: linear convolutions, normalization, pooling, padding.
        """
        convolutions = (i for i, each in enumerate(self.outputs) if isinstance(each.layer, _CONVOLUTIONS))
        first = next(convolutions, len(self.outputs))
        return [
            each
            for position, each in enumerate(self.outputs)
            if position >= first
            and each.is_map
            and each.is_activation
            and all(later.oldest_input >= position for later in self.outputs[position + 1 :])
        ]

    @property
    def scaled_image(self) -> keras.KerasTensor:
        """The image as floats, (N, height, width, channels): the first thing that has a gradient."""
        return next(each.tensor for each in self.outputs if each.is_map)

    @property
    def features(self) -> keras.KerasTensor:
        """(N, D): the penultimate features, from which the last dense layer computes the logits."""
        return next(each.input for each in reversed(self.outputs) if isinstance(each.layer, layers.Dense))

    def reading(self, tensors: keras.KerasTensor | list[keras.KerasTensor]) -> keras.Model:
        """A network from the image to tensors of this graph."""
        return keras.Model(self.image, tensors)

    def _walk(self, network: keras.Model, image: keras.KerasTensor, prefix: str) -> keras.KerasTensor:
        """Call the layers of `network` one by one; returns what the last of them returns."""
        last = image

        def call(operation: Any, *inputs: Any, **options: Any) -> Any:
            nonlocal last
            if isinstance(operation, keras.Model):
                last = self._walk(operation, inputs[0], f"{prefix}{operation.name}/")
                return last
            last = operation(*inputs, **options)
            read = inputs[0] if isinstance(inputs[0], list | tuple) else inputs
            oldest = min(self._positions[id(tensor)] for tensor in read if id(tensor) in self._positions)
            if isinstance(operation, layers.Layer):
                self.outputs.append(LayerOutput(prefix + operation.name, operation, read[0], last, oldest))
                oldest = len(self.outputs) - 1
            self._positions[id(last)] = oldest
            return last

        keras.models.clone_model(
            network, input_tensors=image, clone_function=lambda layer: layer, call_function=call
        )
        return last
