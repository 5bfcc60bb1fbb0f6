"""What a search tries as trainings: hyperparameters over the params of the candidate that is tuned."""

from pathlib import Path
from typing import Any, assert_never

import keras

from pipeline.backbones.features import FeatureCache
from pipeline.backbones.transfer import fit_transfer
from pipeline.networks.from_scratch import fit_from_scratch
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.train_baseline import BaselineConfig
from pipeline.params.train_transfer import TrainTransferParams, TransferConfig
from pipeline.params.tune import EPOCHS, TuneConfig
from pipeline.training.data import TrainingData
from pipeline.training.fitting import Fitted, OnEpoch

_CHANNEL_MULTIPLE = 8

Setting = BaselineConfig | TransferConfig


def setting_of(hyperparameters: dict[str, Any], epochs: int, config: TuneConfig) -> Setting:
    """The training of the tuned candidate with `hyperparameters` (names of the space) put over its params.

    Where epochs are searched for, they stand among the hyperparameters, and `epochs` counts for nothing.
    """
    values = dict(hyperparameters)
    epochs = values.pop(EPOCHS, epochs)
    augmented = {name: values.pop(name) for name in list(values) if name in AugmentationParams.model_fields}
    shared: dict[str, Any] = {
        "seed": config.seed,
        "threads": config.threads,
        "precision": config.precision,
        "lr": values.pop("lr", config.lr),
        "batch_size": values.pop("batch_size", config.batch_size),
        "augmentation": config.augmentation.model_copy(update=augmented),
    }
    match config.tune.candidate:
        case "baseline":
            params = config.train_baseline
            widths = _deep(params.widths, values.pop("depth", len(params.widths)))
            scale = values.pop("width_scale", 1.0)
            changes = {**values, EPOCHS: epochs, "widths": tuple(_scaled(width, scale) for width in widths)}
            return BaselineConfig(**shared, train_baseline=params.model_copy(update=changes))
        case "transfer":
            transfer = config.train_transfer
            changes = {**values, **_phases(transfer, epochs)}
            return TransferConfig(**shared, train_transfer=transfer.model_copy(update=changes))
        case _:
            assert_never(config.tune.candidate)


def given_hyperparameters(config: TuneConfig) -> dict[str, Any]:
    """What params.yaml says without any search for the hyperparameters that are searched for."""
    params = config.train_baseline if config.tune.candidate == "baseline" else config.train_transfer
    known = {
        **config.augmentation.model_dump(),
        **params.model_dump(),
        "lr": config.lr,
        "batch_size": config.batch_size,
        "width_scale": 1.0,
        "depth": len(config.train_baseline.widths),
        EPOCHS: config.tune.epochs,
    }
    return {name: known[name] for name in config.tune.searched}


def fit_setting(
    data: TrainingData,
    setting: Setting,
    checkpoints: Path,
    on_epoch: OnEpoch,
    weights_base: Path,
    features: FeatureCache,
) -> Fitted:
    """Fit the network of a setting. Raises PipelineError (see `fit_from_scratch` and `fit_transfer`)."""
    keras.utils.clear_session()
    if isinstance(setting, BaselineConfig):
        return fit_from_scratch(data, setting, checkpoints, on_epoch)
    return fit_transfer(data, setting, checkpoints, on_epoch, weights_base, features)


def _phases(params: TrainTransferParams, epochs: int) -> dict[str, int]:
    """Both phases get shorter or longer alike; one that there is has an epoch at least, the head's first."""
    head, fine_tune = params.head_epochs, params.fine_tune_epochs
    of_head = round(epochs * head / (head + fine_tune))
    if fine_tune:
        of_head = min(of_head, epochs - 1)
    if head:
        of_head = max(of_head, 1)
    return {"head_epochs": of_head, "fine_tune_epochs": epochs - of_head}


def _deep(widths: tuple[int, ...], depth: int) -> tuple[int, ...]:
    return (*widths, *[widths[-1]] * (depth - len(widths)))[:depth]


def _scaled(width: int, scale: float) -> int:
    """`width` itself at scale 1, otherwise a multiple of 8, which vector instructions like."""
    if scale == 1.0:
        return width
    return _CHANNEL_MULTIPLE * max(1, round(width * scale / _CHANNEL_MULTIPLE))
