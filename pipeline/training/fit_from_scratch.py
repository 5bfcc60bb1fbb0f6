"""A network from random weights to a fitted one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from pipeline.networks.from_scratch import build_from_scratch
from pipeline.networks.precision import build
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.train_baseline import TrainBaselineParams
from pipeline.training.candidate import Fitted, Hardware, OnEpoch, kept_epoch, phase_plan
from pipeline.training.fitting import fit
from pipeline.training.source import TrainingSource


@dataclass(frozen=True)
class Setting:
    """A network to train from scratch and how: the params of train_baseline with those it shares."""

    learning_rate: float
    batch_size: int
    network: TrainBaselineParams
    augmentation: AugmentationParams

    def to_params(self) -> dict[str, Any]:
        """The same as the parts of params.yaml that say it."""
        return {
            "lr": self.learning_rate,
            "batch_size": self.batch_size,
            "train_baseline": self.network.model_dump(mode="json"),
            "augmentation": self.augmentation.model_dump(mode="json"),
        }


def fit_from_scratch(
    source: TrainingSource, setting: Setting, hardware: Hardware, checkpoints: Path, on_epoch: OnEpoch
) -> Fitted:
    """Build and fit the network that `setting` describes. Raises PipelineError (see `fit`)."""
    keras.utils.set_random_seed(hardware.seed)
    params = setting.network

    def builder() -> keras.Model:
        return build_from_scratch(
            params.network,
            source.train.images,
            source.num_classes,
            source.statistics,
            params.widths,
            params.dropout,
        )

    model = build(builder, hardware.precision)
    plan = phase_plan(
        "train",
        0,
        params.epochs,
        setting.learning_rate,
        setting.batch_size,
        params,
        setting.augmentation,
        hardware.seed,
    )
    history = fit(model, source.training_data, plan, checkpoints / "train", on_epoch)
    return Fitted(model, history, kept_epoch(history, params), len(history) < params.epochs, builder)
