"""Batch normalization as one operation of TensorFlow's, for fitting.

Keras 3 computes mean, variance and the rest as operations of their own, with several passes over the
activations in float32. A network of ours spends a third of a step with them.
"""

from typing import Any

import keras
from keras import layers, ops


class BatchNormalization(layers.BatchNormalization):
    """Keras' layer of the same name, faster: equal weights, equal results within rounding.

    Training on images or vectors (N, channels last) with the TensorFlow backend takes the fused
    operation; everything else is Keras' own. A network with such layers is for fitting: a file is
    written from one that has Keras' (`pipeline.networks.precision.in_float32`).
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if not (training and self.trainable) or mask is not None or not self._is_fusible(inputs):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        images = inputs if len(inputs.shape) == 4 else inputs[:, None, None, :]
        outputs, mean, unbiased, *_ = tf.raw_ops.FusedBatchNormV3(
            x=images,
            scale=ops.convert_to_tensor(self.gamma),
            offset=ops.convert_to_tensor(self.beta),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        # The operation gives the unbiased estimate, n / (n - 1) times what Keras keeps.
        count = ops.cast(tf.reduce_prod(tf.shape(images)[:-1]), "float32")
        self._keep(self.moving_mean, mean)
        self._keep(self.moving_variance, unbiased * ((count - 1.0) / count))
        return outputs if len(inputs.shape) == 4 else outputs[:, 0, 0, :]

    def _keep(self, moving: keras.Variable, value: Any) -> None:
        moving.assign(moving * self.momentum + value * (1.0 - self.momentum))

    def _is_fusible(self, inputs: Any) -> bool:
        return (
            keras.config.backend() == "tensorflow"
            and self.scale
            and self.center
            and not self.renorm
            and not self.synchronized
            and len(inputs.shape) in (2, 4)
            and self.axis in (-1, len(inputs.shape) - 1)
        )


def with_fused_normalization(model: keras.Model) -> keras.Model:
    """The same network, weights included, with the layer of this module for each of Keras'."""

    def renewed(layer: layers.Layer) -> layers.Layer:
        if type(layer) is layers.BatchNormalization:
            return BatchNormalization.from_config(layer.get_config())
        return type(layer).from_config(layer.get_config())

    twin = keras.models.clone_model(model, clone_function=renewed, recursive=True)
    twin.set_weights(model.get_weights())
    for ours, theirs in zip(_flat(twin), _flat(model), strict=True):
        ours.trainable = theirs.trainable
    return twin


def _flat(model: keras.Model) -> list[layers.Layer]:
    return [
        each
        for layer in model.layers
        for each in (_flat(layer) if isinstance(layer, keras.Model) else [layer])
    ]
