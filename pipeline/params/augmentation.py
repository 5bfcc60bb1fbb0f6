"""augmentation: random changes of training images."""

from typing import Annotated

from pydantic import Field

from pipeline.params.base import NonNegativeFloat, Section, Share, ShareBelowOne


class AugmentationParams(Section):
    """Random changes of training images; lengths are fractions of the image side."""

    horizontal_flip: bool
    vertical_flip: bool
    shift: Annotated[float, Field(ge=0.0, le=0.5)]
    rotation: Annotated[float, Field(ge=0.0, le=180.0)]
    zoom: ShareBelowOne
    brightness: Share
    contrast: Share
    cutout: Share
    random_erasing: Share
    mixup: NonNegativeFloat
    cutmix: NonNegativeFloat
