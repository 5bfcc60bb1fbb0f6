"""What the layers of a network make of images, from edges to parts of things."""

import numpy as np

from pipeline.explanation.heatmaps import named_layer
from pipeline.explanation.opened_network import LayerOutput, OpenedNetwork
from pipeline.foundation.array_types import Float32, Int64, UInt8

CHANNELS = 16
"""As many as a row of small pictures holds; a layer has up to thousands."""

_SMALLEST_SIDE = 2
_SMALLEST_STEP = 1.5
"""Two layers are of one resolution where the sides of their maps differ by less than this factor."""


def chosen_layers(network: OpenedNetwork, names: tuple[str, ...]) -> list[LayerOutput]:
    """The layers of these names, where the network has them; without names the last of each resolution."""
    if names:
        named = {id(layer): layer for name in names if (layer := named_layer(network, name))}
        return sorted(named.values(), key=network.outputs.index)
    chosen: list[LayerOutput] = []
    for layer in reversed(network.maps):
        finest = chosen[0].side if chosen else 0
        if layer.side >= max(_SMALLEST_SIDE, _SMALLEST_STEP * finest):
            chosen.insert(0, layer)
    return chosen


def feature_maps(
    network: OpenedNetwork, layers: list[LayerOutput], images: UInt8[np.ndarray, "p h w c"]
) -> tuple[dict[str, Float32[np.ndarray, "p _ _ _"]], dict[str, Int64[np.ndarray, " _"]]]:
    """What each layer returns for some images, in its strongest channels.

    Args:
      network: that they belong to.
      layers: some of its outputs.
      images: few enough for one batch, at least one.

    Returns:
      Per layer the activations, (p, rows, columns, c) with at most CHANNELS channels, and the numbers of
      these channels, ascending: those with the highest mean absolute activation in these images.
    """
    if not layers:
        return {}, {}
    outputs = network.reading([layer.tensor for layer in layers])(images, training=False)
    maps, channels = {}, {}
    for layer, output in zip(layers, outputs, strict=True):
        activations = np.asarray(output)
        strength = np.abs(activations).mean(axis=(0, 1, 2))
        strongest = np.sort(np.argsort(-strength, kind="stable")[:CHANNELS])
        maps[layer.name], channels[layer.name] = activations[..., strongest], strongest
    return maps, channels
