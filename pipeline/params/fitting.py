"""What trainings share: the keys above the sections of params.yaml, and how a network is fitted."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.augmentation import AugmentationParams
from pipeline.params.base import NonNegativeFloat, PositiveFloat, PositiveInt, Section, Seed, ShareBelowOne

Precision = Literal["float32", "mixed_bfloat16"]


OptimizerName = Literal["sgd", "adam", "adamw"]


ScheduleName = Literal["constant", "warmup", "cosine", "one_cycle"]


ClassWeights = Literal["none", "balanced"]


InputSize = Annotated[int, Field(ge=8, le=1024)] | None
"""Side that a network works at, in pixels; None: that of its images."""


class TrainingConfig(Section):
    """The keys above the sections that decide a training."""

    seed: Seed
    threads: PositiveInt
    precision: Precision
    lr: PositiveFloat
    batch_size: PositiveInt
    augmentation: AugmentationParams


class FittingParams(Section):
    """What the sections train_baseline and train_transfer share."""

    optimizer: OptimizerName
    schedule: ScheduleName
    warmup_share: ShareBelowOne
    weight_decay: NonNegativeFloat
    label_smoothing: ShareBelowOne
    early_stopping_patience: PositiveInt | None
    class_weights: ClassWeights
