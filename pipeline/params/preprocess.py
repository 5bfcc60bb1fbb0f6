"""preprocess: size, shape and color of the images."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.base import Section


class PreprocessParams(Section):
    image_size: Annotated[int, Field(ge=8, le=1024)]
    resize: Literal["pad", "crop", "stretch"]
    color: Literal["rgb", "grayscale"]
