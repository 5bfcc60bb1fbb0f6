"""Learning rates over the steps of a training."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="pipeline")
class WarmUpSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A linear rise to the peak, then one of four shapes.

    constant: the peak from the first step on. warmup: the rise, then the peak. cosine: the rise,
    then half a cosine down to 0 (Loshchilov and Hutter 2017). one_cycle: the rise, then a straight
    line down to 0 (after Smith and Topin 2018).
    """

    def __init__(self, shape: str, peak: float, total_steps: int, warmup_steps: int) -> None:
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
        if self.shape == "cosine":
            after = 0.5 * (1.0 + ops.cos(progress * 3.141592653589793))
        elif self.shape == "one_cycle":
            after = 1.0 - progress
        else:
            after = ops.ones_like(progress)
        return self.peak * ops.where(step < self.warmup_steps, rise, after)

    def get_config(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
        }
