"""Searching hyperparameters with keras-tuner: resumed after a kill, deterministic, one trial at a time."""

import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, assert_never

import keras
import keras_tuner
import numpy as np
import pandas as pd

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import atomic_path, write_json
from pipeline.networks.from_scratch import fit_from_scratch
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.train_baseline import BaselineConfig
from pipeline.params.tune import TUNABLE, Range, TuneConfig, TuneParams
from pipeline.training.fitting import DivergedError, EpochResult
from pipeline.training.session import TrainingSession

_CHANNEL_MULTIPLE = 8


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


def search(params: TuneParams, seed: int, folder: Path, run_trial: RunTrial) -> list[Trial]:
    """Try settings of tune.space until the budget is spent.

    Args:
      params: method, budget and space.
      seed: decides the settings tried.
      folder: the tuner's state; a search that was killed goes on from it, finished trials kept.
      run_trial: fits a network and returns the epoch whose weights it kept.

    Returns:
      All trials in the order in which they were begun.

    Raises:
      PipelineError: no trial ended well, or a trial failed for another reason than a loss that is not finite.
    """
    tuner = _Tuner(params, seed, folder, run_trial)
    try:
        tuner.search(verbose=0)
    except keras_tuner.errors.FatalError as error:
        raise error.__cause__ or error from None
    trials = tuner.finished_trials()
    if all(trial.val_accuracy is None for trial in trials):
        raise PipelineError(
            f"None of {len(trials)} trials ended with a finite loss.",
            remedy="lower the learning rates in tune.space.lr",
        )
    return trials


def trial_runner(session: TrainingSession, config: TuneConfig) -> RunTrial:
    """Fits trials of train_baseline's network, each recorded as a run nested in the session's."""

    def run_trial(name: str, hyperparameters: dict[str, Any], epochs: int) -> EpochResult:
        checkpoints = session.checkpoints / f"trial-{name}"
        for earlier in session.checkpoints.glob("trial-*"):
            if earlier != checkpoints:
                shutil.rmtree(earlier)
        keras.utils.clear_session()
        print(
            f"trial {name}: " + ", ".join(f"{key} {_short(v)}" for key, v in hyperparameters.items()),
            flush=True,
        )
        # A seed of the trial's own, by its name: a search that goes on after a kill finds the same one.
        own_seed = {"seed": config.seed + 1 + int(name)}
        tried = config_of(hyperparameters, epochs, config).model_copy(update=own_seed)
        with session.run.child(f"trial-{name}", f"{session.run_key}-{name}") as run:
            on_epoch = session.record_start(run, {**hyperparameters, "epochs": epochs})
            return fit_from_scratch(session.data, tried, checkpoints, on_epoch).kept

    return run_trial


def config_of(hyperparameters: dict[str, Any], epochs: int, config: TuneConfig) -> BaselineConfig:
    """The training of the baseline with `hyperparameters` (names of tune.space) put over its params."""
    values = dict(hyperparameters)
    learning_rate, batch_size = values.pop("lr"), values.pop("batch_size")
    network, scale = config.train_baseline, values.pop("width_scale", 1.0)
    widths = tuple(_scaled(width, scale) for width in network.widths)
    augmented = {name: values.pop(name) for name in list(values) if name in AugmentationParams.model_fields}
    return BaselineConfig(
        seed=config.seed,
        threads=config.threads,
        precision=config.precision,
        lr=learning_rate,
        batch_size=batch_size,
        augmentation=config.augmentation.model_copy(update=augmented),
        train_baseline=network.model_copy(update={**values, "epochs": epochs, "widths": widths}),
    )


def _scaled(width: int, scale: float) -> int:
    """`width` itself at scale 1, otherwise a multiple of 8, which vector instructions like."""
    if scale == 1.0:
        return width
    return _CHANNEL_MULTIPLE * max(1, round(width * scale / _CHANNEL_MULTIPLE))


def best_trial(trials: list[Trial]) -> Trial:
    """The highest validation accuracy, the first of equals."""
    return max(trials, key=lambda trial: -1.0 if trial.val_accuracy is None else trial.val_accuracy)


def save_trials(folder: Path, trials: list[Trial]) -> None:
    """Write trials.csv, a row per trial, and best_params.json."""
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
    with atomic_path(folder / "trials.csv") as temporary:
        table.to_csv(temporary, index=False)
    write_json(folder / "best_params.json", best_trial(trials).hyperparameters)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


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
            result = self._run(trial.trial_id, _searched(values), _epochs(values, self._params))
        except DivergedError as error:
            print(f"trial {trial.trial_id} failed: {error.what}", flush=True)
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
            trial.trial_id,
            _searched(values),
            _epochs(values, self._params),
            val_accuracy=last("val_accuracy"),
            val_loss=last("val_loss"),
        )


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
    for name, search in params.space.items():
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
    match params.method:
        case "hyperband":
            return keras_tuner.oracles.HyperbandOracle(max_epochs=params.trial_epochs, **shared)
        case "random":
            return keras_tuner.oracles.RandomSearchOracle(max_trials=params.max_trials, **shared)
        case "bayesian":
            # The library would begin with three random trials per hyperparameter: more than most budgets.
            random_trials = max(1, min(3 * len(params.space), params.max_trials // 2))
            return _ReproducibleBayesianOracle(
                max_trials=params.max_trials, num_initial_points=random_trials, **shared
            )
        case _:
            assert_never(params.method)


def _of_one_type(values: tuple[float | int | bool, ...]) -> list[Any]:
    """As the library demands: [0, 0.1] means [0.0, 0.1]."""
    if any(isinstance(value, float) for value in values):
        return [float(value) for value in values]
    return list(values)


def _searched(values: dict[str, Any]) -> dict[str, Any]:
    """Without what hyperband notes for itself; switches, which the library makes numbers, as switches."""
    return {
        name: bool(value) if TUNABLE[name] is bool else value
        for name, value in values.items()
        if not name.startswith("tuner/")
    }


def _epochs(values: dict[str, Any], params: TuneParams) -> int:
    """Hyperband gives each trial its own number of epochs; every trial starts anew, as its schedule must."""
    return int(values.get("tuner/epochs", params.trial_epochs))
