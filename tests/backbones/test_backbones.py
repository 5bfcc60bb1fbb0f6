"""Pretrained backbones: their scaling, sizes and weights, and what happens where weights are missing."""

import socket
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.utils import file_utils

from pipeline.backbones import bundled
from pipeline.backbones.backbones import BACKBONES, build_backbone, scale_for
from pipeline.backbones.efficientnet_lite import LITE_NETWORKS
from pipeline.backbones.transfer import build_transfer
from pipeline.foundation.errors import PipelineError

pytestmark = [
    # MobileNets say that ImageNet weights are for other sizes, also where none are asked for.
    pytest.mark.filterwarnings("ignore:`input_shape` is undefined or non-square"),
    # Before it refuses weights of another network, Keras warns of a part of it.
    pytest.mark.filterwarnings("ignore:Skipping nested container"),
]

KERAS_BACKBONES = [name for name in BACKBONES if name != "bundled" and name not in LITE_NETWORKS]


SHAPE = (32, 32, 3)


@pytest.mark.parametrize(
    ("name", "application"),
    [
        ("ResNet50", keras.applications.resnet),
        ("VGG16", keras.applications.vgg16),
        ("MobileNetV2", keras.applications.mobilenet_v2),
        ("InceptionV3", keras.applications.inception_v3),
        ("ResNet50V2", keras.applications.resnet_v2),
        ("Xception", keras.applications.xception),
        ("DenseNet121", keras.applications.densenet),
        ("EfficientNetB0", keras.applications.efficientnet),
        ("EfficientNetV2B0", keras.applications.efficientnet_v2),
    ],
)
def test_inputs_are_scaled_as_keras_applications_does(name: str, application: Any) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3)).astype(np.float32)
    inputs = keras.Input((5, 6, 3))
    found = keras.Model(inputs, scale_for(name, inputs))(images)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found), application.preprocess_input(images.copy()), atol=2e-5
    )


@pytest.mark.parametrize("name", KERAS_BACKBONES)
def test_smallest_sizes_are_those_of_keras(name: str) -> None:
    smallest = BACKBONES[name].smallest_size
    with pytest.raises(ValueError, match=f"at least {smallest}x{smallest}"):
        getattr(keras.applications, name)(
            include_top=False, weights=None, input_shape=(smallest - 1, smallest - 1, 3)
        )


@pytest.fixture(scope="module")
def mobile_net() -> keras.Model:
    return build_backbone("MobileNetV2", SHAPE, "none", Path())


def test_an_application_from_images_to_logits() -> None:
    model = build_transfer("MobileNetV2", "none", Path(), (16, 16, 1), 3, (8,), 0.1)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1), dtype=np.uint8)
    logits = keras.ops.convert_to_numpy(model(images))
    assert logits.shape == (2, 3)
    assert np.isfinite(logits).all()


def test_weights_from_a_file_beside_the_params(mobile_net: keras.Model, tmp_path: Path) -> None:
    mobile_net.save_weights(tmp_path / "own.weights.h5")
    loaded = build_backbone("MobileNetV2", SHAPE, "own.weights.h5", weights_base=tmp_path)
    for copy, original in zip(loaded.get_weights(), mobile_net.get_weights(), strict=True):
        np.testing.assert_array_equal(copy, original)


def test_a_weights_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="weights of MobileNetV2 are missing") as caught:
        build_backbone("MobileNetV2", SHAPE, "nowhere.weights.h5", weights_base=tmp_path)
    assert str(tmp_path / "nowhere.weights.h5") in str(caught.value.found)


@pytest.mark.parametrize("kind", ["of another network", "no weights at all", "of another format"])
def test_a_weights_file_that_does_not_fit(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("weights.txt" if kind == "of another format" else "some.weights.h5")
    if kind == "of another network":
        inputs = keras.Input((4,))
        keras.Model(inputs, keras.layers.Dense(2)(inputs)).save_weights(path)
    else:
        path.write_text("Not found")
    with pytest.raises(PipelineError, match=f"{path.name} does not fit MobileNetV2") as caught:
        build_backbone("MobileNetV2", SHAPE, str(path), Path())
    assert caught.value.found


@pytest.fixture
def no_weights_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))
    return tmp_path


def test_imagenet_weights_without_a_network(
    no_weights_on_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*arguments: Any, **keywords: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    with pytest.raises(
        PipelineError, match="ImageNet weights of MobileNetV2 are not on this machine"
    ) as caught:
        build_backbone("MobileNetV2", SHAPE, "imagenet", Path())
    file = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
    assert caught.value.expected == f"the file ~/.keras/models/{file}"
    assert str(caught.value.found).endswith(f"/keras-applications/mobilenet_v2/{file}")
    assert socket.getdefaulttimeout() is None
    assert [path for path in no_weights_on_disk.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("failure", [TimeoutError("timed out"), ConnectionResetError("reset"), None])
def test_a_download_that_breaks_off(
    failure: Exception | None, no_weights_on_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaking(origin: str, target: str, hook: Any) -> None:
        Path(target).write_text("<html>Please sign in</html>")
        if failure is not None:
            raise failure

    monkeypatch.setattr(file_utils, "urlretrieve", breaking)
    with pytest.raises(PipelineError, match="download of the ImageNet weights of MobileNetV2 broke off"):
        build_backbone("MobileNetV2", SHAPE, "imagenet", Path())


def test_the_bundled_backbone_gives_features() -> None:
    backbone = build_backbone("bundled", SHAPE, "imagenet", Path())
    images = np.random.default_rng(0).integers(0, 256, (2, *SHAPE)).astype(np.float32)
    features = keras.ops.convert_to_numpy(backbone(images))
    assert features.shape == (2, 3, 3, 256)
    assert features.std() > 0
    kernel = backbone.get_layer("block2_conv").get_weights()[0]
    np.testing.assert_array_equal(kernel, kernel.astype(np.float16))


def test_a_damaged_bundled_backbone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    damaged = tmp_path / "bundled_backbone.npz"
    damaged.write_bytes(b"version https://git-lfs")
    monkeypatch.setattr(bundled, "_WEIGHTS", damaged)
    with pytest.raises(PipelineError, match=r"bundled_backbone\.npz is damaged"):
        build_backbone("bundled", SHAPE, "imagenet", Path())
