"""What the first convolution looks for in the pixels."""

import numpy as np
from keras import layers

from pipeline.explanation.opened_network import OpenedNetwork


def first_filters(network: OpenedNetwork) -> np.ndarray | None:
    """Kernels of the first convolution, float32 (height, width, input channels, F); None without one."""
    convolutions = (each.layer for each in network.outputs if isinstance(each.layer, layers.Conv2D))
    first = next(convolutions, None)
    return None if first is None else np.asarray(first.kernel)
