"""Optimizers by name, what decays, and learning rates by hand: 10 steps, of which 4 warm up, peak 2."""

from typing import Any, get_args

import keras
import numpy as np
import pytest

from pipeline.images.arrays import ChannelStatistics
from pipeline.networks.from_scratch import build_from_scratch
from pipeline.params.fitting import FittingParams, OptimizerName, ScheduleName
from pipeline.params.train_baseline import NetworkName
from pipeline.training.optimizers import WarmUpSchedule, build_optimizer
from tests.training import tiny

pytestmark = pytest.mark.usefixtures("eager")

OPTIMIZERS: tuple[OptimizerName, ...] = get_args(OptimizerName)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("constant", {0: 2.0, 3: 2.0, 9: 2.0}),
        ("warmup", {0: 0.5, 1: 1.0, 3: 2.0, 4: 2.0, 9: 2.0}),
        ("cosine", {0: 0.5, 3: 2.0, 4: 2.0, 7: 1.0, 10: 0.0, 99: 0.0}),
        ("one_cycle", {0: 0.5, 3: 2.0, 4: 2.0, 7: 1.0, 9: 2 / 6, 10: 0.0, 99: 0.0}),
    ],
)
def test_values_at_steps(shape: ScheduleName, expected: dict[int, float]) -> None:
    schedule = WarmUpSchedule(shape, peak=2.0, total_steps=10, warmup_steps=4)
    assert {step: float(schedule(step)) for step in expected} == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", ["warmup", "cosine", "one_cycle"])
def test_without_warm_up_the_peak_comes_first(shape: ScheduleName) -> None:
    assert float(WarmUpSchedule(shape, peak=2.0, total_steps=10, warmup_steps=0)(0)) == 2.0


def test_an_unknown_schedule_is_not_taken_for_another() -> None:
    with pytest.raises(AssertionError, match="step_decay"):
        WarmUpSchedule("step_decay", peak=2.0, total_steps=10, warmup_steps=4)(0)  # type: ignore[arg-type]


def network(name: NetworkName) -> keras.Model:
    statistics = ChannelStatistics((90.0,), (75.0,))
    return build_from_scratch(name, tiny.subset(40, 1).images, 3, statistics, (8, 8), dropout=0.0)


def built(model: keras.Model, **changes: Any) -> keras.optimizers.Optimizer:
    params = FittingParams.model_construct(**{**tiny.FITTING, **changes})
    return build_optimizer(params, WarmUpSchedule("constant", 0.1, 10, 0), model)


def test_every_optimizer_is_the_one_of_its_name() -> None:
    model = network("dense")
    found = {name: type(built(model, optimizer=name)) for name in OPTIMIZERS}
    expected = {
        "sgd": keras.optimizers.SGD,
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
    }
    assert found == expected


def test_an_unknown_optimizer_is_not_taken_for_another() -> None:
    with pytest.raises(AssertionError, match="rmsprop"):
        built(network("dense"), optimizer="rmsprop")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weight_decay_spares_biases_and_normalization(optimizer: OptimizerName) -> None:
    """Without gradients only decay is left: kernels shrink by learning rate times decay."""
    model = network("small_cnn")
    model.set_weights([np.ones(weight.shape) for weight in model.get_weights()])
    made = built(model, optimizer=optimizer, weight_decay=0.5)
    made.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
    for variable in model.trainable_variables:
        decayed = variable.name == "kernel"
        np.testing.assert_allclose(variable, 0.95 if decayed else 1.0, err_msg=variable.path)
    assert {v.name for v in model.trainable_variables} == {"kernel", "bias", "gamma", "beta"}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_weight_decay(optimizer: OptimizerName) -> None:
    model = network("dense")
    before = model.get_weights()
    made = built(model, optimizer=optimizer, weight_decay=0.0)
    made.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)
