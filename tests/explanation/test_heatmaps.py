"""Heatmaps against a calculation by hand, against the place of objects, and against random weights."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy.ndimage import binary_dilation
from scipy.stats import spearmanr

from pipeline.explanation.heatmaps import Heatmaps
from pipeline.explanation.opened_network import OpenedNetwork
from pipeline.foundation.array_types import Float32, Int64, UInt8
from pipeline.params.evaluate import HeatmapMethod
from tests.explanation.made_networks import from_scratch, object_images, randomized, trained_on_objects


def heatmaps(
    network: keras.Model,
    images: UInt8[np.ndarray, "n h w c"],
    classes: Int64[np.ndarray, " n"],
    layer: str = "auto",
    method: HeatmapMethod = "hires_cam",
) -> Float32[np.ndarray, "n rows columns"]:
    return Heatmaps(OpenedNetwork(network), method, layer).compute(images, classes, "batches")


def two_filter_network() -> keras.Model:
    """The pixels through 1x1 filters 2 and -1 plus 4, rectified; then the mean of each, and two classes."""
    image = keras.Input((2, 2, 1), dtype="uint8")
    scaled = layers.Rescaling(1.0, dtype="float32")(image)
    maps = layers.Conv2D(2, 1, activation="relu", name="conv")(scaled)
    means = layers.GlobalAveragePooling2D()(maps)
    logits = layers.Dense(2, name="classifier")(means)
    network = keras.Model(image, layers.Softmax()(logits))
    kernel = np.array([2.0, -1.0], np.float32).reshape(1, 1, 1, 2)
    network.get_layer("conv").set_weights([kernel, np.array([0.0, 4.0], np.float32)])
    network.get_layer("classifier").set_weights(
        [np.array([[3.0, -1.0], [1.0, 2.0]], np.float32), np.zeros(2, np.float32)]
    )
    return network


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam"])
def test_under_global_average_pooling_both_methods_by_hand(method: HeatmapMethod) -> None:
    """The score of class 0 is 3 mean(A0) + 1 mean(A1): weights 3/4 and 1/4 for every cell.

    Pixels 0, 1, 3, 6 give A0 = 0, 2, 6, 12 and A1 = 4, 3, 1, 0. Class 0: 3/4 A0 + 1/4 A1 =
    1, 2.25, 4.75, 9. Class 1 has weights -1/4 and 2/4: 2, 1, -1, -3, of which 2 and 1 remain.
    """
    images = np.array([[0, 1], [3, 6]], np.uint8).reshape(1, 2, 2, 1).repeat(2, axis=0)
    found = heatmaps(two_filter_network(), images, np.array([0, 1]), method=method)
    np.testing.assert_allclose(found[0], np.array([[1, 2.25], [4.75, 9]]) / 9, rtol=1e-6)
    np.testing.assert_allclose(found[1], [[1.0, 0.5], [0.0, 0.0]], rtol=1e-6)
    assert found.dtype == np.float32


def test_where_places_differ_grad_cam_averages_and_hires_cam_does_not() -> None:
    """One filter, A = 1, 2, 3, 6, and a score of 1 A(0,0) - 2 A(0,1) + 3 A(1,0) + 0 A(1,1).

    Grad-CAM weighs all four with the mean, 1/2: 0.5, 1, 1.5, 3. HiResCAM: 1, -4, 9, 0.
    """
    image = keras.Input((2, 2, 1), dtype="uint8")
    maps = layers.Conv2D(1, 1, activation="relu", name="conv")(layers.Rescaling(1.0, dtype="float32")(image))
    logits = layers.Dense(1, name="classifier")(layers.Flatten()(maps))
    network = keras.Model(image, layers.Softmax()(logits))
    network.get_layer("conv").set_weights([np.ones((1, 1, 1, 1), np.float32), np.zeros(1, np.float32)])
    weights = np.array([[1], [-2], [3], [0]], np.float32)
    network.get_layer("classifier").set_weights([weights, np.zeros(1, np.float32)])
    pixels = np.array([[1, 2], [3, 6]], np.uint8).reshape(1, 2, 2, 1)
    averaged = heatmaps(network, pixels, np.array([0]), method="grad_cam")
    np.testing.assert_allclose(averaged[0], np.array([[0.5, 1], [1.5, 3]]) / 3, rtol=1e-6)
    np.testing.assert_allclose(
        heatmaps(network, pixels, np.array([0]))[0], [[1 / 9, 0.0], [1.0, 0.0]], rtol=1e-6
    )


def test_nothing_speaks_for_a_class_that_every_pixel_speaks_against() -> None:
    network = two_filter_network()
    network.get_layer("classifier").set_weights(
        [np.array([[3.0, -1.0], [1.0, -2.0]], np.float32), np.zeros(2, np.float32)]
    )
    found = heatmaps(network, np.full((1, 2, 2, 1), 3, np.uint8), np.array([1]))
    assert (found == 0).all()


def test_dense_network_has_input_gradients_by_hand() -> None:
    """Logits are linear in the pixels, so that the gradient of a class is its row of weights, absolute."""
    image = keras.Input((2, 2, 1), dtype="uint8")
    scaled = layers.Rescaling(0.5, dtype="float32")(image)
    logits = layers.Dense(2, name="classifier")(layers.Flatten()(scaled))
    network = keras.Model(image, layers.Softmax()(logits))
    weights = np.array([[1, 0], [-4, 1], [2, 0], [0, 0]], np.float32)
    network.get_layer("classifier").set_weights([weights, np.zeros(2, np.float32)])
    computed = Heatmaps(OpenedNetwork(network), "hires_cam", "auto")
    assert computed.layer == "input"
    found = computed.compute(np.zeros((2, 2, 2, 1), np.uint8), np.array([0, 1]), "batches")
    np.testing.assert_allclose(found, [[[0.25, 1.0], [0.5, 0.0]], [[0.0, 1.0], [0.0, 0.0]]])


@pytest.mark.parametrize(
    ("size", "channels", "layer", "side"),
    [
        (32, 3, "block2_add", 7),
        (32, 1, "block2_add", 7),
        (16, 1, "block1_add", 7),
        (64, 3, "block3_add", 7),
    ],
)
def test_the_deepest_layer_with_enough_cells(size: int, channels: int, layer: str, side: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, size, size, channels), dtype=np.uint8)
    computed = Heatmaps(OpenedNetwork(from_scratch("fast_cnn", size, channels)), "hires_cam", "auto")
    assert computed.layer == layer
    assert computed.compute(images, np.zeros(8, np.int64), "batches").shape == (8, side, side)


def test_layer_by_name_and_auto_where_it_is_absent() -> None:
    opened = OpenedNetwork(from_scratch("fast_cnn", 32, 3))
    assert Heatmaps(opened, "hires_cam", "block1_add").layer == "block1_add"
    assert (
        Heatmaps(opened, "hires_cam", "mixed7").layer
        == Heatmaps(opened, "hires_cam", "auto").layer
        == "block2_add"
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["grad_cam", "hires_cam"])
def test_most_of_the_heat_is_on_the_object(method: HeatmapMethod) -> None:
    """The pointing game of Zhang et al. 2018, and the share of the mass.

    The layer's cells are 4.6 pixels wide, so that what lies within half a cell counts as on the object.
    With that margin a fifth of the image is object.
    """
    network = trained_on_objects()
    images, labels, places = object_images(100, seed=1)
    assert (network.predict_on_batch(images).argmax(axis=1) == labels).mean() > 0.95
    near = np.stack([binary_dilation(place, np.ones((5, 5))) for place in places])
    found = heatmaps(network, images, labels, method=method)
    enlarged = np.asarray(keras.ops.image.resize(found[..., np.newaxis], near.shape[1:]))[..., 0]
    peaks = enlarged.reshape(len(images), -1).argmax(axis=1)
    hits = near.reshape(len(images), -1)[np.arange(len(images)), peaks]
    mass = (enlarged * near).sum(axis=(1, 2)) / enlarged.sum(axis=(1, 2))
    assert hits.mean() > 0.95
    assert mass.mean() > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("method", ["grad_cam", "hires_cam"])
def test_heatmaps_change_when_the_weights_are_randomized(method: HeatmapMethod) -> None:
    """Adebayo et al., "Sanity Checks for Saliency Maps", 2018: the order of the cells is another one."""
    network = trained_on_objects()
    images, labels, _ = object_images(100, seed=1)
    trained, random = (
        heatmaps(each, images, labels, method=method) for each in (network, randomized(network))
    )
    correlations = [
        spearmanr(first.ravel(), second.ravel()).statistic
        for first, second in zip(trained, random, strict=True)
        if second.any()
    ]
    assert np.mean(correlations) < 0.2


def test_nested_network_gives_what_the_same_layers_give_in_one() -> None:
    inner = [layers.Conv2D(4, 3, activation="relu", name="first"), layers.MaxPooling2D(), layers.Conv2D(6, 3)]
    head = [layers.GlobalMaxPooling2D(), layers.Dense(3), layers.Softmax()]
    image = keras.Input((24, 24, 3), dtype="uint8")
    scaled = layers.Rescaling(1 / 255, dtype="float32")(image)
    flat = keras.Model(image, chain([*inner, *head], scaled))
    features = keras.Input((24, 24, 3))
    backbone = keras.Model(features, chain(inner, features), name="backbone")
    nested = keras.Model(image, chain([backbone, *head], scaled))

    images = np.random.default_rng(0).integers(0, 256, (6, 24, 24, 3), dtype=np.uint8)
    classes = np.arange(6) % 3
    assert Heatmaps(OpenedNetwork(nested), "hires_cam", "first").layer == "backbone/first"
    for layer in ("auto", "first"):
        found = heatmaps(nested, images, classes, layer)
        assert found.any()
        np.testing.assert_allclose(found, heatmaps(flat, images, classes, layer), atol=1e-5)


def test_frozen_layers_have_heatmaps_too() -> None:
    network = two_filter_network()
    images = np.array([[0, 1], [3, 6]], np.uint8).reshape(1, 2, 2, 1)
    before = heatmaps(network, images, np.array([0]))
    network.trainable = False
    np.testing.assert_array_equal(heatmaps(network, images, np.array([0])), before)


def chain(steps: list[keras.layers.Layer], values: keras.KerasTensor) -> keras.KerasTensor:
    for step in steps:
        values = step(values)
    return values
