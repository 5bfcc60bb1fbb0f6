"""A network as a table: layers, parameters and multiply-accumulates."""

import math
from collections.abc import Iterator

import keras
from keras import layers

from pipeline.inference.model_card import LayerSummary, ParameterCounts


def summarize(model: keras.Model) -> tuple[LayerSummary, ...]:
    """Every layer from input to output, those of nested models with the model's name before theirs."""
    return tuple(_summaries(model, prefix=""))


def parameter_counts(model: keras.Model) -> ParameterCounts:
    """The statistics of normalization count as frozen."""
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    total = model.count_params()
    return ParameterCounts(total, trainable, total - trainable)


def _summaries(model: keras.Model, prefix: str) -> Iterator[LayerSummary]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _summaries(layer, prefix=f"{prefix}{layer.name}/")
            continue
        yield LayerSummary(
            name=prefix + layer.name,
            kind=type(layer).__name__,
            output_shape=tuple(layer.output.shape[1:]),
            parameters=layer.count_params(),
            macs=_multiply_accumulates(layer),
            trainable=bool(layer.trainable_weights),
        )


def _multiply_accumulates(layer: layers.Layer) -> int:
    """Of convolutions and dense layers, for one image; the rest is small beside them and counts 0."""
    positions = int(math.prod(layer.output.shape[1:-1]))
    if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D | layers.Dense):
        return positions * int(math.prod(layer.kernel.shape))
    if isinstance(layer, layers.SeparableConv2D):
        kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
        return positions * sum(int(math.prod(kernel.shape)) for kernel in kernels)
    return 0
