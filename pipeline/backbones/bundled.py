"""The bundled backbone: a compact residual CNN that our own code pretrained on CIFAR-100.

`python -m pipeline.pretraining.bundled_backbone` makes it; bundled_backbone.json beside this file says from
which data, by which command, and how well it does. Kernels are kept in float16 (they were fitted
with fewer bits than that), so that 2 million parameters fit into 4 MB.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipeline.foundation.array_types import Float16, Float32
from pipeline.foundation.digests import digest_file
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import atomic_path, read_json, write_json
from pipeline.images.arrays import ChannelStatistics
from pipeline.networks.fast_cnn import fast_cnn_features, scaling

WIDTHS = (64, 256, 256)
SMALLEST_SIZE = 32
_WEIGHTS = Path(__file__).with_name("bundled_backbone.npz")
_FACTS = Path(__file__).with_name("bundled_backbone.json")


def build_bundled(shape: tuple[int, int, int]) -> keras.Model:
    """The pretrained backbone: gray levels (N, height, width, 3) to features (N, h, w, 256).

    Raises PipelineError where the weights file is not the one that its description names.
    """
    facts = read_json(_FACTS)
    found = digest_file(_WEIGHTS)
    if found != facts["weights_sha256"]:
        raise PipelineError(
            f"{_WEIGHTS.name} is damaged.",
            expected=f"SHA-256 {facts['weights_sha256']}",
            found=found,
            remedy="restore it: git checkout -- pipeline/backbones",
        )
    backbone = backbone_network(shape, ChannelStatistics.from_json(facts["statistics"]))
    with np.load(_WEIGHTS) as weights:
        backbone.set_weights([weights[f"arr_{number}"].astype(np.float32) for number in range(len(weights))])
    return backbone


def backbone_network(shape: tuple[int, int, int], statistics: ChannelStatistics) -> keras.Model:
    """The backbone's layers without the pretrained weights."""
    inputs = keras.Input(shape, name="backbone_image")
    return keras.Model(inputs, fast_cnn_features(scaling(statistics)(inputs), WIDTHS), name="bundled")


def rounded_weights(
    backbone: keras.Model,
) -> list[Float16[np.ndarray, "*kernel"] | Float32[np.ndarray, " channels"]]:
    """The weights as they are stored."""
    return [w.astype(np.float16) if w.ndim > 1 else w for w in backbone.get_weights()]


def save_bundled(backbone: keras.Model, facts: dict[str, Any]) -> None:
    """Write the weights and their description beside this file."""
    with atomic_path(_WEIGHTS) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, *rounded_weights(backbone))
    write_json(_FACTS, {**facts, "weights_sha256": digest_file(_WEIGHTS)})
