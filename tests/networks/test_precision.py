"""Mixed precision is for fitting: the final network computes in float32."""

import keras
import numpy as np
import pytest
from scipy.special import softmax

from pipeline.images.arrays import ChannelStatistics
from pipeline.networks.from_scratch import build_from_scratch
from pipeline.networks.precision import build, in_float32, precision_policy
from pipeline.training.layers import parameter_counts


def test_the_policy_ends_with_the_block_also_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), precision_policy("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        raise ZeroDivisionError
    assert keras.config.dtype_policy().name == "float32"


def test_the_final_network_has_the_same_weights_in_float32() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    statistics = ChannelStatistics((128.0,) * 3, (64.0,) * 3)

    def builder() -> keras.Model:
        return build_from_scratch("fast_cnn", images, 4, statistics, (8, 8), 0.1)

    mixed = build(builder, "mixed_bfloat16")
    random = np.random.default_rng(1)
    mixed.set_weights([random.uniform(0.1, 0.5, weight.shape) for weight in mixed.get_weights()])
    final = in_float32(mixed, builder)
    assert {layer.dtype_policy.name for layer in final.layers if layer.name != "image"} == {"float32"}
    assert {layer.compute_dtype for layer in final.layers} <= {"float32", "uint8"}
    for kept, weight in zip(final.get_weights(), mixed.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, weight)
    assert parameter_counts(final).total == parameter_counts(mixed).total

    exact = build(builder, "float32")
    exact.set_weights(mixed.get_weights())
    logits = keras.ops.convert_to_numpy(exact(images))
    found = keras.ops.convert_to_numpy(final(images))
    np.testing.assert_allclose(found, softmax(logits, axis=1), rtol=1e-5)
    assert found.dtype == np.float32
