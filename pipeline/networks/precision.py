"""Building in one precision and rebuilding in another."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keras

from pipeline.networks.fast_cnn import IdentityLike
from pipeline.params.fitting import Precision


@contextmanager
def precision_policy(precision: Precision) -> Iterator[None]:
    """Layers made in the block compute in this precision."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def build(builder: Callable[[], keras.Model], precision: Precision) -> keras.Model:
    """What `builder` makes, with layers of this precision."""
    with precision_policy(precision):
        return builder()


def in_float32(model: keras.Model, builder: Callable[[], keras.Model]) -> keras.Model:
    """The same network with the same weights, computing in float32, returning probabilities.

    Mixed precision is for fitting: what is evaluated, registered and exported must not depend on
    which processor has fast bfloat16. Its file is loaded by plain Keras, without this package.
    """
    twin = build(builder, "float32")
    twin.set_weights(model.get_weights())
    _forget_own_initializers(twin)
    probabilities = keras.layers.Softmax(name="probabilities", dtype="float32")(twin.output)
    return keras.Model(twin.input, probabilities, name=model.name)


def _forget_own_initializers(model: keras.Model) -> None:
    """A file names the initializers of its layers; ours would ask for our code, and are needed no more."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _forget_own_initializers(layer)
        elif isinstance(getattr(layer, "kernel_initializer", None), IdentityLike):
            layer.kernel_initializer = keras.initializers.GlorotUniform(seed=0)
