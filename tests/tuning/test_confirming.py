"""Full trainings of the setting found and the given one: which is kept, and what is written of them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.training.fitting import DivergedError, EpochResult
from pipeline.tuning.confirming import FullTraining, Which, confirm, save_confirmation


class Trainings:
    """In place of fittings: the accuracies that they reach, None where they diverge."""

    def __init__(self, found: list[float | None], given: list[float | None]) -> None:
        self._reached: dict[Which, list[float | None]] = {"found": found, "given": given}
        self.done: list[tuple[Which, int]] = []

    def __call__(self, setting: Which, seed: int) -> Any:
        self.done.append((setting, seed))
        accuracy = self._reached[setting][seed]
        if accuracy is None:
            raise DivergedError("The loss is no longer finite.")
        kept = EpochResult("train", 5, 0.5, 0.8, 1 - accuracy, accuracy, 0.1)
        return SimpleNamespace(kept=kept, name=(setting, seed))


@pytest.mark.parametrize(
    ("found", "given", "chosen", "fitted"),
    [
        ([0.9, 0.7], [0.8, 0.75], "found", ("found", 0)),
        ([0.9, 0.6], [0.8, 0.75], "given", ("given", 0)),
        ([0.8], [0.8], "given", ("given", 0)),
        ([None, 0.9], [0.4, 0.4], "found", ("found", 1)),
        ([None, 0.9], [0.8, 0.8], "given", ("given", 0)),
        ([0.3, 0.3], [None, None], "found", ("found", 0)),
    ],
)
def test_the_higher_mean_is_kept(
    found: list[float | None], given: list[float | None], chosen: str, fitted: tuple[str, int]
) -> None:
    trainings = Trainings(found, given)
    outcome = confirm(range(len(found)), trainings)
    assert trainings.done == [(which, seed) for seed in range(len(found)) for which in ("found", "given")]
    assert (outcome.chosen, vars(outcome.fitted)["name"]) == (chosen, fitted)
    assert [each.val_accuracy for each in outcome.trainings if each.setting == "found"] == found
    assert [each.val_accuracy for each in outcome.trainings if each.setting == "given"] == given


def test_nothing_but_divergence() -> None:
    with pytest.raises(DivergedError):
        confirm([0], Trainings([None], [None]))


def test_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "confirmation.csv"
    save_confirmation(path, [FullTraining("found", 3, 0.5, 1.25), FullTraining("given", 3, None, None)])
    assert path.read_text() == "setting,seed,val_accuracy,val_loss\nfound,3,0.5,1.25\ngiven,3,,\n"
    save_confirmation(path, [])
    assert path.read_text() == "setting,seed,val_accuracy,val_loss\n"
