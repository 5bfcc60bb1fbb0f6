"""Searching hyperparameters with keras-tuner: resumed after a kill, deterministic, one trial at a time.

Trial 0 is the given setting, so that the search does not end below it.
"""

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, assert_never

import keras_tuner
import keras_tuner.src.config
import numpy as np
import pandas as pd

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import atomic_path, read_json, write_json
from pipeline.params.tune import EPOCHS, TUNABLE, Range, TuneParams, Value
from pipeline.training.fitting import DivergedError, EpochResult

# Or the library prints the traceback of every trial that failed; it has no public switch (1.4.8).
keras_tuner.src.config.DEBUG = False

GIVEN = "0"
"""The name of the trial that has the given setting."""


@dataclass(frozen=True)
class Trial:
    """One trial that has ended; accuracy and loss are None where the loss was not finite."""

    name: str
    hyperparameters: dict[str, Any]
    epochs: int
    val_accuracy: float | None
    val_loss: float | None


RunTrial = Callable[[str, dict[str, Any], int], EpochResult]
"""Fits the trial of this name with these hyperparameters and epochs; raises DivergedError."""


def search(
    params: TuneParams, given: dict[str, Any], seed: int, folder: Path, run_trial: RunTrial
) -> list[Trial]:
    """Try the given setting, then settings of the candidate's space, until the budget is spent.

    Args:
      params: method, budget and space.
      given: the hyperparameters of the space as they are without a search.
      seed: decides the settings tried.
      folder: the tuner's state; a search that was killed goes on from it, finished trials kept.
      run_trial: fits a network and returns the epoch whose weights it kept.

    Returns:
      All trials in the order in which they were begun.

    Raises:
      PipelineError: no trial ended well, or a trial failed for another reason than a loss that is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trials = [_given_trial(params, given, folder / "given.json", run_trial)]
    if params.max_trials > 1 or params.method == "hyperband":
        tuner = _Tuner(params, seed, folder, run_trial)
        try:
            tuner.search(verbose=0)
        except keras_tuner.errors.FatalError as error:
            raise error.__cause__ or error from None
        trials += tuner.finished_trials()
    if all(trial.val_accuracy is None for trial in trials):
        raise PipelineError(
            f"None of {len(trials)} trials ended with a finite loss.",
            remedy="lower lr, and lr in tune.space or tune.transfer_space",
        )
    return trials


def _given_trial(params: TuneParams, given: dict[str, Any], file: Path, run_trial: RunTrial) -> Trial:
    """As long as the longest of the others; not run again after a kill that came later."""
    epochs = given.get(EPOCHS, params.trial_epochs)
    if not file.exists():
        scores: dict[str, float | None]
        try:
            result = run_trial(GIVEN, given, epochs)
            scores = {"val_accuracy": result.val_accuracy, "val_loss": result.val_loss}
        except DivergedError as error:
            print(f"trial {GIVEN} failed: {error.what}", flush=True)
            scores = {"val_accuracy": None, "val_loss": None}
        write_json(file, scores)
    return Trial(GIVEN, given, epochs, **read_json(file))


def best_trial(trials: list[Trial]) -> Trial:
    """The highest validation accuracy, the first of equals."""
    return max(trials, key=lambda trial: -1.0 if trial.val_accuracy is None else trial.val_accuracy)


def save_trials(path: Path, trials: list[Trial]) -> None:
    """A row per trial."""
    table = pd.DataFrame(
        [
            {
                "trial": trial.name,
                "status": "failed" if trial.val_accuracy is None else "completed",
                "epochs": trial.epochs,
                "val_loss": trial.val_loss,
                "val_accuracy": trial.val_accuracy,
                **trial.hyperparameters,
            }
            for trial in trials
        ]
    )
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)


class _Tuner(keras_tuner.Tuner):
    """keras-tuner's loop around our own fitting."""

    def __init__(self, params: TuneParams, seed: int, folder: Path, run_trial: RunTrial) -> None:
        self._params = params
        self._run = run_trial
        with redirect_stdout(StringIO()):  # "Reloading Tuner from ..."
            super().__init__(_oracle(params, seed), directory=folder, project_name="search", overwrite=False)
        # The files of trials come back in any order; and one that was killed while it was being
        # begun left a file that the oracle does not know of.
        self.oracle.trials = {number: self.oracle.trials[number] for number in self.oracle.start_order}

    def run_trial(self, trial: Any, *arguments: Any, **keywords: Any) -> dict[str, float]:
        values = trial.hyperparameters.values
        try:
            result = self._run(_name(trial.trial_id), self._searched(values), _epochs(values, self._params))
        except DivergedError as error:
            print(f"trial {_name(trial.trial_id)} failed: {error.what}", flush=True)
            raise keras_tuner.errors.FailedTrialError(error.what) from error
        except Exception as error:
            # keras-tuner would note it and go on; a full disk or a defect says nothing about a setting.
            raise keras_tuner.errors.FatalError(str(error)) from error
        return {"val_accuracy": result.val_accuracy, "val_loss": result.val_loss}

    def finished_trials(self) -> list[Trial]:
        return [self._finished(self.oracle.trials[number]) for number in self.oracle.start_order]

    def _finished(self, trial: Any) -> Trial:
        values = trial.hyperparameters.values
        completed = trial.status == "COMPLETED"

        def last(metric: str) -> float | None:
            return trial.metrics.get_last_value(metric) if completed else None

        return Trial(
            _name(trial.trial_id),
            self._searched(values),
            _epochs(values, self._params),
            val_accuracy=last("val_accuracy"),
            val_loss=last("val_loss"),
        )

    def _searched(self, values: dict[str, Any]) -> dict[str, Any]:
        """Without what hyperband notes for itself; switches, which the library makes numbers, as switches."""
        kinds = TUNABLE[self._params.candidate]
        return {
            name: bool(value) if kinds[name] is bool else value
            for name, value in values.items()
            if not name.startswith("tuner/")
        }


def _name(trial_id: str) -> str:
    """The library counts from 0, which is the given setting here."""
    return str(int(trial_id) + 1)


class _ReproducibleBayesianOracle(keras_tuner.oracles.BayesianOptimizationOracle):
    """Draws each proposal from a random state of that trial's own.

    The library keeps one state for the whole search and does not save it (1.4.8), so that a search
    that was killed would go on with other proposals than an undisturbed one.
    """

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        self._random_state = np.random.RandomState(self.seed + int(trial_id))
        proposal: dict[str, Any] = super().populate_space(trial_id)
        return proposal


def _oracle(params: TuneParams, seed: int) -> keras_tuner.Oracle:
    space = keras_tuner.HyperParameters()
    for name, search in params.searched.items():
        if isinstance(search, Range):
            space.Float(name, search.min, search.max, sampling=search.sampling)
        else:
            space.Choice(name, _of_one_type(search.values))
    shared = {
        "objective": keras_tuner.Objective("val_accuracy", direction="max"),
        "hyperparameters": space,
        "tune_new_entries": False,
        "seed": seed + 1,  # the library takes 0 for "none given" and draws one
        "max_consecutive_failed_trials": sys.maxsize,
    }
    others = params.max_trials - 1
    match params.method:
        case "hyperband":
            return keras_tuner.oracles.HyperbandOracle(max_epochs=params.trial_epochs, **shared)
        case "random":
            return keras_tuner.oracles.RandomSearchOracle(max_trials=others, **shared)
        case "bayesian":
            # The library would begin with three random trials per hyperparameter: more than most budgets.
            random_trials = max(1, min(3 * len(params.searched), others // 2))
            return _ReproducibleBayesianOracle(max_trials=others, num_initial_points=random_trials, **shared)
        case _:
            assert_never(params.method)


def _of_one_type(values: tuple[Value, ...]) -> list[Any]:
    """As the library demands: [0, 0.1] means [0.0, 0.1]."""
    if any(isinstance(value, float) for value in values):
        return [float(value) for value in values]
    return list(values)


def _epochs(values: dict[str, Any], params: TuneParams) -> int:
    """Hyperband gives each trial its own number of epochs; every trial starts anew, as its schedule must."""
    return int(values.get("tuner/epochs", values.get(EPOCHS, params.trial_epochs)))
