"""train_transfer: a pretrained backbone, its new head, and how both are fitted."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pipeline.params.base import NonNegativeInt, PositiveFloat, PositiveInt, ShareBelowOne
from pipeline.params.fitting import FittingParams, InputSize, TrainingConfig


class TrainTransferParams(FittingParams):
    backbone: str
    weights: str
    input_size: InputSize
    head_units: Annotated[tuple[PositiveInt, ...], Field(strict=False)]
    dropout: ShareBelowOne
    head_views: PositiveInt
    unfreeze_from: str
    frozen_batch_norm: bool
    head_epochs: NonNegativeInt
    head_lr_scale: PositiveFloat
    fine_tune_epochs: NonNegativeInt
    fine_tune_lr_scale: PositiveFloat

    @model_validator(mode="after")
    def _trains_at_all(self) -> Self:
        if self.head_epochs + self.fine_tune_epochs == 0:
            raise ValueError("head_epochs and fine_tune_epochs are both 0: nothing would be trained")
        return self


class TransferConfig(TrainingConfig):
    """All that decides the training of train_transfer."""

    train_transfer: TrainTransferParams
