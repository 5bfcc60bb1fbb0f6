"""Fused batch normalization against Keras' own: results, gradients, moving statistics, precision, kills."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from pipeline.networks.normalization import BatchNormalization, with_fused_normalization
from pipeline.networks.precision import precision_policy


def pair(**options: Any) -> tuple[layers.Layer, BatchNormalization]:
    return layers.BatchNormalization(**options), BatchNormalization(**options)


def trained_step(layer: layers.Layer, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Output, gradient of the input, and all weights after a call in training."""
    inputs = tf.constant(x)
    layer.build(inputs.shape)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = layer(inputs, training=True)
        loss = tf.reduce_sum(tf.cast(output, tf.float32) ** 3)
    return np.asarray(output), np.asarray(tape.gradient(loss, inputs)), layer.get_weights()


@pytest.mark.parametrize("shape", [(8, 5, 6, 4), (16, 4), (7, 1, 1, 3)])
def test_it_gives_what_keras_gives(shape: tuple[int, ...]) -> None:
    x = (np.random.default_rng(0).normal(size=shape) * 3 + 7).astype(np.float32)
    theirs, ours = (trained_step(layer, x) for layer in pair(momentum=0.9))
    np.testing.assert_allclose(ours[0], theirs[0], atol=2e-5)
    np.testing.assert_allclose(ours[1], theirs[1], atol=2e-4)
    for own, other in zip(ours[2], theirs[2], strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-5)
    assert not np.allclose(ours[2][3], 1.0), "the moving variance has moved"


def test_it_is_the_fused_operation() -> None:
    """Or the equality above would say nothing."""
    layer = BatchNormalization()
    layer.build((None, 4, 4, 3))
    graph = tf.function(lambda x: layer(x, training=True)).get_concrete_function(tf.ones((2, 4, 4, 3))).graph
    assert "FusedBatchNormV3" in {operation.type for operation in graph.get_operations()}


@pytest.mark.parametrize(
    "options",
    [{"axis": 1}, {"center": False}, {"scale": False}, {"trainable": False}, {"renorm": True}],
)
def test_everything_else_is_keras_own(options: dict[str, Any]) -> None:
    x = np.random.default_rng(0).normal(size=(8, 4, 4, 4)).astype(np.float32)
    theirs, ours = (trained_step(layer, x) for layer in pair(**options))
    np.testing.assert_array_equal(ours[0], theirs[0])
    for own, other in zip(ours[2], theirs[2], strict=True):
        np.testing.assert_array_equal(own, other)


def test_half_precision_keeps_statistics_in_full() -> None:
    x = np.random.default_rng(0).normal(size=(8, 4, 4, 3)).astype(np.float32)
    with precision_policy("mixed_bfloat16"):
        theirs, ours = pair()
    results = [trained_step(layer, x) for layer in (theirs, ours)]
    assert results[1][0].dtype == results[0][0].dtype
    assert [weight.dtype for weight in results[1][2]] == [np.float32] * 4
    np.testing.assert_allclose(results[1][0].astype(np.float32), results[0][0].astype(np.float32), atol=0.05)


def nested() -> keras.Model:
    inside = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(name="inside_norm")(layers.Conv2D(4, 3, name="inside_conv")(inside))
    inner = keras.Model(inside, x, name="inner")
    inner.trainable = False
    image = keras.Input((8, 8, 3))
    x = layers.GlobalMaxPooling2D()(inner(image))
    x = layers.BatchNormalization(name="norm", trainable=False)(layers.Dense(4, name="dense")(x))
    return keras.Model(image, layers.Dense(2, name="last")(x), name="outer")


def test_a_network_keeps_weights_names_and_what_is_trained() -> None:
    plain = nested()
    plain.set_weights([np.full(w.shape, n + 1.0, np.float32) for n, w in enumerate(plain.get_weights())])
    fused = with_fused_normalization(plain)
    assert [weight.path for weight in fused.weights] == [weight.path for weight in plain.weights]
    assert [w.path for w in fused.trainable_weights] == [w.path for w in plain.trainable_weights]
    for own, other in zip(fused.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(own, other)
    kinds = [
        type(layer) for layer in (fused.get_layer("norm"), fused.get_layer("inner").get_layer("inside_norm"))
    ]
    assert kinds == [BatchNormalization, BatchNormalization]
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(fused.predict_on_batch(x), plain.predict_on_batch(x))


def test_two_runs_are_equal_to_the_byte() -> None:
    x = np.random.default_rng(0).normal(size=(64, 16, 16, 8)).astype(np.float32)
    first, second = (trained_step(BatchNormalization(), x) for _ in range(2))
    assert first[0].tobytes() == second[0].tobytes()
    assert first[1].tobytes() == second[1].tobytes()
