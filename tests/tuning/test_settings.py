"""Hyperparameters over the params of the candidate that is tuned."""

from typing import Any

import pytest

from pipeline.params.augmentation import AugmentationParams
from pipeline.params.train_baseline import BaselineConfig, TrainBaselineParams
from pipeline.params.train_transfer import TransferConfig
from pipeline.params.tune import TuneConfig
from pipeline.tuning.settings import given_hyperparameters, setting_of
from tests.training import tiny


def config(
    network: TrainBaselineParams | None = None,
    augmentation: AugmentationParams | None = None,
    transfer: dict[str, Any] | None = None,
    **changes: Any,
) -> TuneConfig:
    return TuneConfig(
        seed=3,
        threads=2,
        precision="float32",
        lr=0.05,
        batch_size=20,
        augmentation=augmentation or tiny.augmentation(),
        train_baseline=network or tiny.baseline(),
        train_transfer=tiny.transfer(**(transfer or {})),
        tune=tiny.tune(**changes),
    )


def test_hyperparameters_stand_over_the_params_of_the_baseline() -> None:
    network = tiny.baseline(widths=(10, 20, 64), dropout=0.1)
    augmentation = tiny.augmentation(shift=0.1, cutout=0.3)
    tried = {
        "lr": 0.3,
        "batch_size": 64,
        "width_scale": 0.5,
        "network": "small_cnn",
        "optimizer": "adam",
        "schedule": "cosine",
        "dropout": 0.2,
        "weight_decay": 0.01,
        "label_smoothing": 0.0,
        "warmup_share": 0.4,
        "shift": 0.0,
        "horizontal_flip": True,
    }
    before = dict(tried)
    found = setting_of(tried, 7, config(network, augmentation))
    assert tried == before
    assert found == BaselineConfig(
        seed=3,
        threads=2,
        precision="float32",
        lr=0.3,
        batch_size=64,
        augmentation=augmentation.model_copy(update={"shift": 0.0, "horizontal_flip": True}),
        train_baseline=network.model_copy(
            update={
                "epochs": 7,
                "widths": (8, 8, 32),  # 5, 10 and 32 channels, as multiples of 8
                "network": "small_cnn",
                "optimizer": "adam",
                "schedule": "cosine",
                "dropout": 0.2,
                "weight_decay": 0.01,
                "label_smoothing": 0.0,
                "warmup_share": 0.4,
            }
        ),
    )


@pytest.mark.parametrize("searched", [{}, {"width_scale": 1.0}, {"width_scale": 1}, {"depth": 2}])
def test_what_is_not_searched_stays_as_it_is(searched: dict[str, Any]) -> None:
    found = setting_of(searched, 1, config(tiny.baseline(widths=(10, 3))))
    assert isinstance(found, BaselineConfig)
    assert found.train_baseline.widths == (10, 3)
    assert (found.lr, found.batch_size, found.augmentation) == (0.05, 20, tiny.augmentation())


@pytest.mark.parametrize(("depth", "widths"), [(1, (10,)), (4, (10, 30, 30, 30))])
def test_depth(depth: int, widths: tuple[int, ...]) -> None:
    found = setting_of({"depth": depth}, 1, config(tiny.baseline(widths=(10, 30))))
    assert isinstance(found, BaselineConfig)
    assert found.train_baseline.widths == widths


def test_epochs_among_the_hyperparameters_are_those() -> None:
    found = setting_of({"epochs": 9}, 2, config())
    assert isinstance(found, BaselineConfig)
    assert found.train_baseline.epochs == 9


@pytest.mark.parametrize(
    ("head", "fine_tune", "epochs", "expected"),
    [
        (10, 10, 5, (2, 3)),
        (10, 10, 20, (10, 10)),
        (3, 0, 7, (7, 0)),
        (0, 4, 2, (0, 2)),
        (1, 20, 3, (1, 2)),
        (20, 1, 3, (2, 1)),
        (5, 5, 1, (1, 0)),
    ],
)
def test_both_phases_of_transfer_get_shorter_alike(
    head: int, fine_tune: int, epochs: int, expected: tuple[int, int]
) -> None:
    phases = {"head_epochs": head, "fine_tune_epochs": fine_tune}
    given = config(transfer=phases, candidate="transfer")
    found = setting_of({"lr": 0.1, "head_lr_scale": 0.7}, epochs, given)
    assert isinstance(found, TransferConfig)
    params = found.train_transfer
    assert (params.head_epochs, params.fine_tune_epochs) == expected
    assert (found.lr, params.head_lr_scale) == (0.1, 0.7)
    assert params.head_units == given.train_transfer.head_units


def test_the_given_setting_leads_back_to_the_params() -> None:
    space: dict[str, Any] = {name: {"values": [1]} for name in ("batch_size", "depth", "epochs")}
    space |= {name: {"values": [0.5]} for name in ("lr", "width_scale", "dropout", "shift")}
    given = config(tiny.baseline(widths=(10, 30), epochs=2), tiny.augmentation(shift=0.2), space=space)
    hyperparameters = given_hyperparameters(given)
    assert hyperparameters == {
        "lr": 0.05,
        "batch_size": 20,
        "depth": 2,
        "epochs": given.tune.epochs,
        "width_scale": 1.0,
        "dropout": 0.0,
        "shift": 0.2,
    }
    found = setting_of(hyperparameters, 99, given)
    assert isinstance(found, BaselineConfig)
    assert found.train_baseline == given.train_baseline
    assert found.augmentation == given.augmentation
