"""What train_baseline and train_transfer share."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.base import NonNegativeFloat, PositiveInt, Section

Precision = Literal["float32", "mixed_bfloat16"]


OptimizerName = Literal["sgd", "adam", "adamw"]


ScheduleName = Literal["constant", "warmup", "cosine", "one_cycle"]


ClassWeights = Literal["none", "balanced"]


class FittingParams(Section):
    """What train_baseline and train_transfer share."""

    optimizer: OptimizerName
    schedule: ScheduleName
    warmup_share: Annotated[float, Field(ge=0.0, lt=1.0)]
    weight_decay: NonNegativeFloat
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)]
    early_stopping_patience: PositiveInt | None
    class_weights: ClassWeights
