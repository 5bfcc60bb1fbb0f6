"""Searching without any training: budgets, determinism, failures and kills of every method."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import threadpoolctl

from pipeline.foundation.errors import PipelineError
from pipeline.training.fitting import DivergedError, EpochResult
from pipeline.tuning.searching import Trial, best_trial, search
from tests.training import tiny

# The Gaussian process of keras-tuner says so where a length scale ends at a bound.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("one_thread"),
]


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Several threads only get in each other's way with matrices of five rows."""
    with threadpoolctl.threadpool_limits(limits=1):
        yield


GIVEN = {"lr": 0.5, "batch_size": 4, "dropout": 0.9, "horizontal_flip": False}
"""Outside of the space, so that no trial can be mistaken for it."""

METHODS = ("random", "bayesian", "hyperband")


def score(hyperparameters: dict[str, Any]) -> float:
    """Best near lr 0.03 with dropout."""
    distance = abs(math.log10(hyperparameters["lr"]) - math.log10(0.03))
    return round(0.9 - 0.5 * distance - (0.1 if hyperparameters["dropout"] == 0 else 0.0), 6)


class Trials:
    """In place of trainings."""

    def __init__(
        self,
        fails: Callable[[str], bool] = lambda name: False,
        killed_in: str | None = None,
        scored: Callable[[dict[str, Any]], float] = score,
    ) -> None:
        self.begun: list[str] = []
        self._fails, self._killed_in, self._score = fails, killed_in, scored

    def __call__(self, name: str, hyperparameters: dict[str, Any], epochs: int) -> EpochResult:
        self.begun.append(name)
        if self._killed_in is not None and int(name) == int(self._killed_in):
            raise KeyboardInterrupt
        if self._fails(name):
            raise DivergedError("the loss is no longer finite")
        accuracy = self._score(hyperparameters) + 0.001 * epochs
        return EpochResult("train", epochs, 0.5, 0.8, 1 - accuracy, accuracy, 0.1)


def found(
    folder: Path, method: str, trials: Trials | None = None, seed: int = 0, **changes: Any
) -> list[Trial]:
    budget = {"max_trials": 5, "trial_epochs": 3, **changes}
    return search(tiny.tune(method=method, **budget), GIVEN, seed, folder, trials or Trials())


@pytest.mark.parametrize("method", ["random", "bayesian"])
def test_the_budget_is_spent_within_the_space(method: str, tmp_path: Path) -> None:
    trials = found(tmp_path, method)
    assert [int(trial.name) for trial in trials] == [0, 1, 2, 3, 4]
    assert len({tuple(trial.hyperparameters.values()) for trial in trials}) == 5
    assert trials[0].hyperparameters == GIVEN
    assert trials[0].val_accuracy == pytest.approx(score(GIVEN) + 0.003)
    assert trials[0].epochs == 3
    for trial in trials[1:]:
        values = trial.hyperparameters
        assert list(values) == ["lr", "batch_size", "dropout", "horizontal_flip"]
        assert 0.01 <= values["lr"] <= 0.1
        assert (values["batch_size"], type(values["batch_size"])) in ((8, int), (16, int))
        # [0, 0.2] in params.yaml: numbers of two types, which keras-tuner refuses.
        assert values["dropout"] in (0.0, 0.2)
        assert isinstance(values["horizontal_flip"], bool)
        assert trial.epochs == 3
        assert trial.val_accuracy == pytest.approx(score(values) + 0.003)
        assert trial.val_loss == pytest.approx(1 - score(values) - 0.003)


def test_hyperband_trains_the_best_of_short_trials_for_longer(tmp_path: Path) -> None:
    trials = found(tmp_path, "hyperband")
    # Longest 3 epochs, a third of the trials go on: 3 of 1 epoch, the best of them for 3; 2 of 3 epochs.
    # Before them the given setting, as long as the longest.
    assert [trial.epochs for trial in trials] == [3, 1, 1, 1, 3, 3, 3]
    best = max(trials[1:4], key=lambda trial: score(trial.hyperparameters))
    assert trials[4].hyperparameters == best.hyperparameters
    assert list(trials[4].hyperparameters) == ["lr", "batch_size", "dropout", "horizontal_flip"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_seed_decides_the_trials(method: str, seed: int, tmp_path: Path) -> None:
    first = found(tmp_path / "first", method, seed=seed, max_trials=3)
    assert found(tmp_path / "again", method, seed=seed, max_trials=3) == first
    assert found(tmp_path / "other", method, seed=seed + 1, max_trials=3) != first


def test_bayesian_learns_from_the_trials_within_a_small_budget(tmp_path: Path) -> None:
    forwards = found(tmp_path / "forwards", "bayesian", max_trials=7)
    backwards = found(
        tmp_path / "backwards", "bayesian", Trials(scored=lambda values: 1 - score(values)), max_trials=7
    )
    tried = [[trial.hyperparameters for trial in trials[1:]] for trials in (forwards, backwards)]
    assert tried[0][:3] == tried[1][:3], "drawn before anything is known"
    assert all(one != other for one, other in zip(tried[0][3:], tried[1][3:], strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_a_failed_trial_does_not_stop_the_search(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = found(tmp_path, method, Trials(fails=lambda name: int(name) in (0, 1)))
    assert len(trials) >= 5
    failed = [trial for trial in trials if trial.val_accuracy is None]
    assert [int(trial.name) for trial in failed] == [0, 1]
    assert all(trial.val_loss is None for trial in failed)
    assert best_trial(trials).val_accuracy is not None
    assert capsys.readouterr().out.count("failed: the loss is no longer finite") == 2


@pytest.mark.parametrize("method", METHODS)
def test_nothing_but_failed_trials(method: str, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"None of \d+ trials ended with a finite loss"):
        found(tmp_path, method, Trials(fails=lambda name: True))


@pytest.mark.parametrize("error", [PipelineError("The disk is full."), ZeroDivisionError("a defect")])
def test_any_other_error_stops_the_search_as_itself(error: Exception, tmp_path: Path) -> None:
    def failing(name: str, hyperparameters: dict[str, Any], epochs: int) -> EpochResult:
        raise error

    with pytest.raises(type(error)) as caught:
        search(tiny.tune(), GIVEN, 0, tmp_path, failing)
    assert caught.value is error


def test_an_error_in_a_later_trial_is_itself_too(tmp_path: Path) -> None:
    error = PipelineError("The disk is full.")

    def failing(name: str, hyperparameters: dict[str, Any], epochs: int) -> EpochResult:
        if name != "0":
            raise error
        return Trials()(name, hyperparameters, epochs)

    with pytest.raises(PipelineError) as caught:
        search(tiny.tune(), GIVEN, 0, tmp_path, failing)
    assert caught.value is error


def test_a_budget_of_one_trial_is_the_given_setting(tmp_path: Path) -> None:
    (trial,) = found(tmp_path, "bayesian", max_trials=1)
    assert trial.hyperparameters == GIVEN


def test_epochs_that_are_searched_for(tmp_path: Path) -> None:
    space = {"lr": {"values": [0.03, 0.3]}, "epochs": {"values": [2, 9]}, "dropout": {"values": [0.1]}}
    given = {"lr": 0.5, "epochs": 4, "dropout": 0.9}
    trials = search(tiny.tune(space=space, max_trials=4), given, 0, tmp_path, Trials())
    assert trials[0].epochs == 4
    assert {trial.epochs for trial in trials[1:]} == {2, 9}
    assert all(trial.epochs == trial.hyperparameters["epochs"] for trial in trials)


@pytest.mark.parametrize("failing", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_a_killed_search_tries_what_an_undisturbed_one_does(
    method: str, failing: bool, tmp_path: Path
) -> None:
    def fails(name: str) -> bool:
        return failing and int(name) == 1

    undisturbed = Trials(fails)
    expected = found(tmp_path / "undisturbed", method, undisturbed)
    for number in ("2", "4"):
        with pytest.raises(KeyboardInterrupt):
            found(tmp_path / "killed", method, Trials(fails, killed_in=number))
    resumed = Trials(fails)
    assert found(tmp_path / "killed", method, resumed) == expected
    # The trial that was killed is begun again, those that had ended are not.
    assert resumed.begun == undisturbed.begun[4:]
    ended = Trials(fails)
    assert found(tmp_path / "killed", method, ended) == expected
    assert ended.begun == []


def test_a_kill_while_a_trial_is_being_begun(tmp_path: Path) -> None:
    """The trial's own file is there, and the search's state does not know of it."""
    expected = found(tmp_path / "undisturbed", "random")
    with pytest.raises(KeyboardInterrupt):
        found(tmp_path / "killed", "random", Trials(killed_in="2"))
    states = tmp_path / "killed" / "search"  # the library counts from 0 what comes after the given setting
    unknown = states / "trial_2"
    unknown.mkdir()
    (unknown / "trial.json").write_text(
        (states / "trial_1" / "trial.json").read_text().replace('"trial_id": "1"', '"trial_id": "2"')
    )
    assert found(tmp_path / "killed", "random") == expected


def test_a_space_that_is_exhausted_ends_the_search(tmp_path: Path) -> None:
    space = {"lr": {"values": [0.03, 0.3]}, "batch_size": {"values": [8]}, "dropout": {"values": [0.0]}}
    trials = found(tmp_path, "random", space=space, max_trials=10)
    assert sorted(trial.hyperparameters["lr"] for trial in trials[1:]) == [0.03, 0.3]


def test_the_best_trial_is_the_first_of_equals_and_no_failed_one() -> None:
    trials = [
        Trial(str(number), {}, 1, accuracy, None) for number, accuracy in enumerate([None, 0.5, 0.7, 0.7])
    ]
    assert best_trial(trials).name == "2"
