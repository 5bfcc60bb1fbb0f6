"""Learning rates by hand: 10 steps, of which 4 warm up, peak 2."""

import keras
import pytest

from pipeline.training.schedules import WarmUpSchedule


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("constant", {0: 2.0, 3: 2.0, 9: 2.0}),
        ("warmup", {0: 0.5, 1: 1.0, 3: 2.0, 4: 2.0, 9: 2.0}),
        ("cosine", {0: 0.5, 3: 2.0, 4: 2.0, 7: 1.0, 10: 0.0, 99: 0.0}),
        ("one_cycle", {0: 0.5, 3: 2.0, 4: 2.0, 7: 1.0, 9: 2 / 6, 10: 0.0, 99: 0.0}),
    ],
)
def test_values_at_steps(shape: str, expected: dict[int, float]) -> None:
    schedule = WarmUpSchedule(shape, peak=2.0, total_steps=10, warmup_steps=4)
    assert {step: float(schedule(step)) for step in expected} == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", ["warmup", "cosine", "one_cycle"])
def test_without_warm_up_the_peak_comes_first(shape: str) -> None:
    assert float(WarmUpSchedule(shape, peak=2.0, total_steps=10, warmup_steps=0)(0)) == 2.0


def test_a_schedule_survives_saving() -> None:
    schedule = WarmUpSchedule("cosine", peak=2.0, total_steps=10, warmup_steps=4)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(schedule))
    assert isinstance(copy, WarmUpSchedule)
    assert copy.get_config() == schedule.get_config()
    assert [float(copy(step)) for step in range(12)] == [float(schedule(step)) for step in range(12)]
