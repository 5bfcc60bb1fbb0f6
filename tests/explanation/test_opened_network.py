"""Networks taken apart layer by layer."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from pipeline.backbones.transfer import build_transfer
from pipeline.explanation.opened_network import OpenedNetwork
from tests.explanation.made_networks import from_scratch, with_softmax


def transfer(backbone: str, size: int, channels: int) -> keras.Model:
    return with_softmax(
        lambda: build_transfer(backbone, "none", Path(), (size, size, channels), 3, (8,), 0.1)
    )


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(lambda: from_scratch("fast_cnn", 32, 3), id="fast_cnn"),
        pytest.param(lambda: from_scratch("small_cnn", 32, 1), id="small_cnn"),
        pytest.param(lambda: from_scratch("dense", 16, 1), id="dense"),
        pytest.param(lambda: transfer("bundled", 32, 1), id="bundled, enlarged to three channels"),
        pytest.param(lambda: transfer("bundled", 16, 3), id="bundled, enlarged to 32 pixels"),
        pytest.param(lambda: transfer("ResNet50", 32, 3), id="ResNet50", marks=pytest.mark.slow),
        pytest.param(lambda: transfer("MobileNetV2", 32, 3), id="MobileNetV2", marks=pytest.mark.slow),
        pytest.param(lambda: transfer("InceptionV3", 32, 3), id="InceptionV3", marks=pytest.mark.slow),
    ],
)
def test_logits_and_features_lead_to_the_networks_own_probabilities(
    network: Callable[[], keras.Model],
) -> None:
    closed = network()
    opened = OpenedNetwork(closed)
    images = np.random.default_rng(0).integers(0, 256, (4, *closed.input.shape[1:]), dtype=np.uint8)
    logits, features = opened.reading([opened.logits, opened.features])(images)
    probabilities = np.asarray(keras.ops.softmax(logits))
    np.testing.assert_allclose(probabilities, np.asarray(closed(images)), atol=1e-6)
    names = [layer.name for layer in closed.layers]
    for layer in closed.layers[names.index("classifier") : -1]:
        features = layer(features)
    np.testing.assert_allclose(np.asarray(features), np.asarray(logits), atol=1e-6)


def test_layers_inside_a_nested_network_carry_its_name() -> None:
    names = [each.name for each in OpenedNetwork(transfer("bundled", 32, 3)).outputs]
    assert names[:3] == ["to_float", "bundled/scaling", "bundled/whitening"]
    assert names[-2:] == ["classifier", "probabilities"]


def test_maps_hold_the_whole_image_and_no_branch() -> None:
    image = keras.Input((8, 8, 3), dtype="uint8")
    x = layers.Rescaling(1 / 255, dtype="float32")(image)
    x = layers.Conv2D(4, 1, activation="relu", name="before")(x)
    branch = layers.Conv2D(4, 3, padding="same", activation="relu", name="branch")(x)
    x = layers.Add(name="joined")([x, branch])
    x = layers.MaxPooling2D(name="pooled")(x)
    x = layers.GlobalAveragePooling2D()(x)
    network = keras.Model(image, layers.Softmax()(layers.Dense(2)(x)))
    assert [each.name for each in OpenedNetwork(network).maps] == ["before", "joined"]


def test_dense_network_has_no_maps() -> None:
    assert OpenedNetwork(from_scratch("dense", 16, 1)).maps == []
