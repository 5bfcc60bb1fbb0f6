"""train_baseline: a network from scratch and how it is fitted."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.base import PositiveInt, ShareBelowOne
from pipeline.params.fitting import FittingParams, InputSize, TrainingConfig

NetworkName = Literal["fast_cnn", "small_cnn", "dense"]


class TrainBaselineParams(FittingParams):
    network: NetworkName
    input_size: InputSize
    widths: Annotated[tuple[PositiveInt, ...], Field(min_length=1, strict=False)]
    dropout: ShareBelowOne
    epochs: PositiveInt


class BaselineConfig(TrainingConfig):
    """All that decides a training from scratch: that of train_baseline, and each one of tune."""

    train_baseline: TrainBaselineParams
