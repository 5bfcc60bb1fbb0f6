"""The table of a network's layers against counting by hand."""

import keras
from keras import layers

from pipeline.inference.model_card import ParameterCounts
from pipeline.training.layers import parameter_counts, summarize


def nested() -> keras.Model:
    inner_input = keras.Input((8, 8, 3), name="inner")
    inner = layers.Conv2D(4, 3, strides=2, padding="same", name="stem")(inner_input)  # 4x4x4
    inner = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(inner)
    inner = layers.BatchNormalization(name="norm")(inner)
    backbone = keras.Model(inner_input, inner, name="backbone")
    backbone.trainable = False
    image = keras.Input((8, 8, 3), name="image")
    x = layers.SeparableConv2D(6, 3, use_bias=False, name="separable")(backbone(image))  # 2x2x6
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(image, layers.Dense(5, name="classifier")(x))


def test_layers_of_a_nested_network_by_hand() -> None:
    rows = summarize(nested())
    assert [(row.name, row.output_shape, row.parameters, row.macs, row.trainable) for row in rows] == [
        ("image", (8, 8, 3), 0, 0, False),
        ("backbone/inner", (8, 8, 3), 0, 0, False),
        ("backbone/stem", (4, 4, 4), 3 * 3 * 3 * 4 + 4, 16 * 3 * 3 * 3 * 4, False),
        ("backbone/depthwise", (4, 4, 4), 3 * 3 * 4, 16 * 3 * 3 * 4, False),
        ("backbone/norm", (4, 4, 4), 4 * 4, 0, False),
        ("separable", (2, 2, 6), 3 * 3 * 4 + 4 * 6, 4 * (3 * 3 * 4 + 4 * 6), True),
        ("flatten", (24,), 0, 0, False),
        ("classifier", (5,), 24 * 5 + 5, 24 * 5, True),
    ]
    assert [row.kind for row in rows][3:6] == ["DepthwiseConv2D", "BatchNormalization", "SeparableConv2D"]


def test_parameters_agree_with_keras() -> None:
    model = nested()
    counts = parameter_counts(model)
    assert counts == ParameterCounts(total=model.count_params(), trainable=60 + 125, frozen=112 + 36 + 16)
    assert sum(row.parameters for row in summarize(model)) == model.count_params()
