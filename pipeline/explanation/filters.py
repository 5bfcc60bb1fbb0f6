"""What the first convolution looks for in the pixels."""

import numpy as np
from keras import layers

from pipeline.explanation.opened_network import OpenedNetwork
from pipeline.foundation.array_types import Float32


def first_filters(network: OpenedNetwork) -> Float32[np.ndarray, "_ _ c f"] | None:
    """Kernels of the first convolution, (height, width, input channels, filters); None without one."""
    convolutions = (each.layer for each in network.outputs if isinstance(each.layer, layers.Conv2D))
    first = next(convolutions, None)
    return None if first is None else np.asarray(first.kernel)
