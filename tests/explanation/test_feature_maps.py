"""Feature maps and filters."""

import keras
import numpy as np
import pytest

from pipeline.explanation.feature_maps import chosen_layers, feature_maps
from pipeline.explanation.filters import first_filters
from pipeline.explanation.opened_network import LayerOutput, OpenedNetwork
from pipeline.foundation.array_types import UInt8
from tests.explanation.made_networks import from_scratch


def images(count: int, size: int = 32) -> UInt8[np.ndarray, "n h w 3"]:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def opened() -> OpenedNetwork:
    return OpenedNetwork(from_scratch("fast_cnn", 32, 3))


def names(layers: list[LayerOutput]) -> list[str]:
    return [layer.name for layer in layers]


def test_the_last_layer_of_every_resolution(opened: OpenedNetwork) -> None:
    assert names(chosen_layers(opened, ())) == ["whitening_relu", "block1_add", "block2_add", "block3_add"]


def test_layers_by_name_in_the_order_of_the_network(opened: OpenedNetwork) -> None:
    assert names(chosen_layers(opened, ("block3_add", "absent", "block1_pool"))) == [
        "block1_pool",
        "block3_add",
    ]


def test_the_strongest_channels_as_the_network_computes_them(opened: OpenedNetwork) -> None:
    maps, channels = feature_maps(opened, chosen_layers(opened, ()), images(3))
    first = opened.outputs[2]
    assert first.name == "whitening_relu"
    expected = np.asarray(keras.Model(opened.image, first.tensor)(images(3)))
    kept = channels["whitening_relu"]
    assert len(kept) == 16  # of 24
    np.testing.assert_array_equal(maps["whitening_relu"], expected[..., kept])
    left_out = np.setdiff1d(np.arange(24), kept)
    assert (
        expected[..., kept].mean(axis=(0, 1, 2)).min() >= expected[..., left_out].mean(axis=(0, 1, 2)).max()
    )
    assert maps["block3_add"].shape == (3, 3, 3, 4)
    np.testing.assert_array_equal(channels["block3_add"], np.arange(4))


def test_filters_of_the_first_convolution(opened: OpenedNetwork) -> None:
    filters = first_filters(opened)
    assert filters is not None
    assert filters.shape == (2, 2, 3, 24)


def test_dense_network_has_neither() -> None:
    dense = OpenedNetwork(from_scratch("dense", 16, 3))
    assert chosen_layers(dense, ()) == []
    assert feature_maps(dense, [], images(2, size=16)) == ({}, {})
    assert first_filters(dense) is None
