"""A pretrained backbone to a fitted network: first a new head, then the backbone with it."""

from pathlib import Path

import keras

from pipeline.backbones.transfer import build_transfer, require_layer, unfreeze
from pipeline.networks.precision import build
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.train_transfer import TrainTransferParams
from pipeline.training.candidate import Fitted, Hardware, OnEpoch, kept_epoch, phase_plan
from pipeline.training.fitting import EpochResult, fit
from pipeline.training.source import TrainingSource


def fit_transfer(
    source: TrainingSource,
    params: TrainTransferParams,
    augmentation: AugmentationParams,
    learning_rate: float,
    batch_size: int,
    hardware: Hardware,
    checkpoints: Path,
    on_epoch: OnEpoch,
    weights_base: Path,
) -> Fitted:
    """Fit a new head on the frozen backbone, then fine-tune from `unfreeze_from` on.

    A relative path in `params.weights` is meant from `weights_base`.

    Raises PipelineError (see `fit`, `build_transfer` and `unfreeze`).
    """
    keras.utils.set_random_seed(hardware.seed)

    def builder() -> keras.Model:
        return build_transfer(
            params.backbone,
            params.weights,
            weights_base,
            source.image_shape,
            source.num_classes,
            params.head_units,
            params.dropout,
        )

    model = build(builder, hardware.precision)
    # At once: a misspelt name shall not cost the head's epochs.
    require_layer(model, params.unfreeze_from)
    phases = [
        ("head", params.head_epochs, params.head_lr_scale),
        ("fine_tune", params.fine_tune_epochs, params.fine_tune_lr_scale),
    ]
    history: list[EpochResult] = []
    for phase, epochs, scale in phases:
        if epochs == 0:
            continue
        if phase == "fine_tune":
            unfreeze(model, params.unfreeze_from, params.frozen_batch_norm)
        plan = phase_plan(
            phase,
            len(history),
            epochs,
            learning_rate * scale,
            batch_size,
            params,
            augmentation,
            hardware.seed,
        )
        phase_history = fit(model, source.training_data, plan, checkpoints / phase, on_epoch)
        history += phase_history
    return Fitted(
        model, history, kept_epoch(phase_history, params), len(phase_history) < plan.epochs, builder
    )
