"""train_baseline: a network from scratch and how it is fitted."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.base import DropoutRate, PositiveInt
from pipeline.params.fitting import FittingParams


class TrainBaselineParams(FittingParams):
    network: Literal["fast_cnn", "small_cnn", "dense"]
    widths: Annotated[tuple[PositiveInt, ...], Field(min_length=1, strict=False)]
    dropout: DropoutRate
    epochs: PositiveInt
