"""Optimizers, and the learning rates that they follow over the steps of a training.

Another optimizer or schedule is a name in `pipeline/params/fitting.py` and a case here.
"""

from typing import Any, assert_never

import keras
from keras import ops

from pipeline.params.fitting import FittingParams, ScheduleName


class WarmUpSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise to the peak, then one of four shapes.

    constant: the peak from the first step on. warmup: the rise, then the peak. cosine: the rise,
    then half a cosine down to 0 (Loshchilov and Hutter 2017). one_cycle: the rise, then a straight
    line down to 0 (after Smith and Topin 2018).
    """

    def __init__(self, shape: ScheduleName, peak: float, total_steps: int, warmup_steps: int) -> None:
        self.shape = shape
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_steps = 0 if shape == "constant" else warmup_steps

    def __call__(self, step: Any) -> Any:
        # Step 0 is the first: it already gets a part of the rise, or it would be wasted.
        step = ops.cast(step, "float32")
        rise = (step + 1.0) / max(self.warmup_steps, 1)
        fall_steps = max(self.total_steps - self.warmup_steps, 1)
        progress = ops.clip((step - self.warmup_steps) / fall_steps, 0.0, 1.0)
        match self.shape:
            case "constant" | "warmup":
                after = ops.ones_like(progress)
            case "cosine":
                after = 0.5 * (1.0 + ops.cos(progress * 3.141592653589793))
            case "one_cycle":
                after = 1.0 - progress
            case _:
                assert_never(self.shape)
        return self.peak * ops.where(step < self.warmup_steps, rise, after)


def build_optimizer(
    params: FittingParams, schedule: WarmUpSchedule, model: keras.Model
) -> keras.optimizers.Optimizer:
    """The optimizer that `params` name, for the weights of `model` that are trainable now."""
    weight_decay = params.weight_decay or None
    match params.optimizer:
        case "sgd":
            optimizer = keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=weight_decay)
        case "adam":
            optimizer = keras.optimizers.Adam(schedule, weight_decay=weight_decay)
        case "adamw":
            optimizer = keras.optimizers.AdamW(schedule, weight_decay=params.weight_decay)
        case _:
            assert_never(params.optimizer)
    if weight_decay:
        # Biases and the scales and shifts of normalization are vectors; everything else decays.
        optimizer.exclude_from_weight_decay([v for v in model.trainable_variables if len(v.shape) < 2])
    return optimizer
