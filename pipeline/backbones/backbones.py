"""Pretrained backbones with their own input scaling: ours and those of keras.applications."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

import keras
from keras import layers, ops

from pipeline.backbones import bundled
from pipeline.backbones.efficientnet_lite import LITE_NETWORKS, build_lite
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import path_of

_DOWNLOAD_TIMEOUT_SECONDS = 30.0
_WEIGHTS_FOLDER = "~/.keras/models"  # where Keras looks and puts them

Scaling = Literal["caffe", "tf", "torch", "inside"]


@dataclass(frozen=True)
class BackboneFacts:
    """What keras.applications' documentation says of a backbone.

    Attributes:
      smallest_size: smaller images are enlarged to this side, in pixels.
      scaling: how its inputs were scaled in pretraining. caffe: BGR minus the ImageNet mean; tf: -1 to
        1; torch: 0 to 1, then ImageNet mean and deviation; inside: by its own first layers.
    """

    smallest_size: int
    scaling: Scaling


BACKBONES = {
    "bundled": BackboneFacts(bundled.SMALLEST_SIZE, "inside"),
    **{name: BackboneFacts(32, "inside") for name in LITE_NETWORKS},
    "ResNet50": BackboneFacts(32, "caffe"),
    "ResNet101": BackboneFacts(32, "caffe"),
    "ResNet152": BackboneFacts(32, "caffe"),
    "ResNet50V2": BackboneFacts(32, "tf"),
    "VGG16": BackboneFacts(32, "caffe"),
    "VGG19": BackboneFacts(32, "caffe"),
    "MobileNet": BackboneFacts(32, "tf"),
    "MobileNetV2": BackboneFacts(32, "tf"),
    "EfficientNetB0": BackboneFacts(32, "inside"),
    "EfficientNetB1": BackboneFacts(32, "inside"),
    "EfficientNetB2": BackboneFacts(32, "inside"),
    "EfficientNetB3": BackboneFacts(32, "inside"),
    "EfficientNetV2B0": BackboneFacts(32, "inside"),
    "EfficientNetV2B1": BackboneFacts(32, "inside"),
    "DenseNet121": BackboneFacts(32, "torch"),
    "InceptionV3": BackboneFacts(75, "tf"),
    "InceptionResNetV2": BackboneFacts(75, "tf"),
    "Xception": BackboneFacts(71, "tf"),
}


def build_backbone(name: str, shape: tuple[int, int, int], weights: str, weights_base: Path) -> keras.Model:
    """Gray levels (N, height, width, 3) to a feature map.

    Args:
      name: a key of BACKBONES.
      shape: height, width and 3; at least the backbone's smallest size.
      weights: imagenet, none, or the path of a weights file without top layers; the bundled backbone
        has its own.
      weights_base: where a relative path begins.

    Raises:
      PipelineError: the weights are missing, cannot be downloaded, or do not fit.
    """
    if name == "bundled":
        return bundled.build_bundled(shape)
    if name in LITE_NETWORKS:
        if weights not in ("imagenet", "none"):
            raise PipelineError(
                f"{name} takes the weights of its package or none.",
                expected="train_transfer.weights: imagenet or none",
                found=weights,
            )
        return build_lite(name, shape, pretrained=weights == "imagenet")
    application = getattr(keras.applications, name)
    if weights == "none":
        return application(include_top=False, weights=None, input_shape=shape)
    if weights == "imagenet":
        with _download_explained(name):
            return application(include_top=False, weights="imagenet", input_shape=shape)
    path = weights_base / path_of(weights)
    if not path.is_file():
        raise PipelineError(
            f"The weights of {name} are missing.",
            expected="train_transfer.weights: imagenet, none, or the path of a weights file",
            found=f"no file {path}",
        )
    try:
        return application(include_top=False, weights=str(path), input_shape=shape)
    except (ValueError, OSError, KeyError) as error:
        raise PipelineError(
            f"{path.name} does not fit {name}.",
            expected="weights of that backbone without its top layers, as Keras saves them",
            found=str(error).splitlines()[0],
        ) from error


def scale_for(name: str, image: keras.KerasTensor) -> keras.KerasTensor:
    """Gray levels, float32 RGB, as the backbone's pretraining had them."""
    scale: float | list[float]
    offset: float | list[float]
    scaling = BACKBONES[name].scaling
    match scaling:
        case "inside":
            return image
        case "caffe":
            scale, offset = 1.0, [-103.939, -116.779, -123.68]
            image = ops.flip(image, axis=-1)
        case "tf":
            scale, offset = 1 / 127.5, -1.0
        case "torch":
            mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
            scale = [1 / (255 * s) for s in std]
            offset = [-m / s for m, s in zip(mean, std, strict=True)]
        case _:
            assert_never(scaling)
    return layers.Rescaling(scale, offset, dtype="float32", name="backbone_scaling")(image)


def _is_broken_download(error: Exception) -> bool:
    """Whether the connection was lost on the way, or something else than weights came (a login page)."""
    unreadable = isinstance(error, OSError) and error.errno is None  # as h5py says it
    lost = isinstance(error, ConnectionError | TimeoutError)
    return lost or unreadable or "Incomplete or corrupted" in str(error)


@contextmanager
def _download_explained(name: str) -> Iterator[None]:
    """A download that fails becomes one message that names the file and its place."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_SECONDS)
    try:
        yield
    except Exception as error:
        # keras.utils.get_file raises a plain Exception whose text holds the address.
        address = re.search(r"https?://\S+?\.(?:weights\.)?h5", str(error))
        if address is None and _is_broken_download(error):
            raise PipelineError(
                f"The download of the ImageNet weights of {name} broke off, or its file is damaged.",
                found=str(error) or type(error).__name__,
                remedy=f"delete the file of {name} in {_WEIGHTS_FOLDER}, if there is one, and run the same "
                "command again, or choose -S train_transfer.backbone=bundled",
            ) from None
        if address is None:
            raise
        raise PipelineError(
            f"The ImageNet weights of {name} are not on this machine and could not be downloaded.",
            expected=f"the file {_WEIGHTS_FOLDER}/{Path(address[0]).name}",
            found=f"no such file, and no answer from {address[0]}",
            remedy="download that address on a machine with a network and put the file there, "
            "or choose -S train_transfer.backbone=bundled, which needs no download",
        ) from None
    finally:
        socket.setdefaulttimeout(before)
