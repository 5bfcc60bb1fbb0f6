"""Whether the setting that a search has found beats the given one, trained in full under several seeds."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pipeline.foundation.files import atomic_path
from pipeline.training.fitting import DivergedError, Fitted

Which = Literal["found", "given"]

FitInFull = Callable[[Which, int], Fitted]
"""Fits a setting with all epochs under this seed."""


@dataclass(frozen=True)
class FullTraining:
    """One row of confirmation.csv; accuracy and loss are None where the loss was not finite."""

    setting: Which
    seed: int
    val_accuracy: float | None
    val_loss: float | None


@dataclass(frozen=True)
class Confirmation:
    """What full trainings say.

    Attributes:
      trainings: of both settings under the same seeds; none where the search has found the given setting.
      chosen: the setting with the higher mean validation accuracy; of equals the given one.
      fitted: the network of that setting under the first seed with which it ended well.
    """

    trainings: tuple[FullTraining, ...]
    chosen: Which
    fitted: Fitted


def confirm(seeds: Sequence[int], fit_in_full: FitInFull) -> Confirmation:
    """Train both settings in full under each seed, so that the search cannot end below what it began with.

    A trial is short and one seed is luck. Validation decides; nothing here sees a test image.

    Raises DivergedError where neither setting ended well under any seed.
    """
    trainings: list[FullTraining] = []
    first: dict[Which, Fitted] = {}
    error: DivergedError | None = None
    settings: tuple[Which, ...] = ("found", "given")
    for seed in seeds:
        for setting in settings:
            try:
                fitted = fit_in_full(setting, seed)
            except DivergedError as diverged:
                print(f"the {setting} setting failed: {diverged.what}", flush=True)
                error = diverged
                trainings.append(FullTraining(setting, seed, None, None))
            else:
                first.setdefault(setting, fitted)
                kept = fitted.kept
                trainings.append(FullTraining(setting, seed, kept.val_accuracy, kept.val_loss))
    chosen: Which = "found" if _mean(trainings, "found") > _mean(trainings, "given") else "given"
    if chosen not in first:
        assert error is not None
        raise error
    return Confirmation(tuple(trainings), chosen, first[chosen])


def save_confirmation(path: Path, trainings: Sequence[FullTraining]) -> None:
    """A row per full training; the header alone where there was nothing to compare."""
    rows: list[dict[str, Any]] = [asdict(each) for each in trainings]
    with atomic_path(path) as temporary:
        pd.DataFrame(rows, columns=list(FullTraining.__dataclass_fields__)).to_csv(temporary, index=False)


def _mean(trainings: Sequence[FullTraining], setting: Which) -> float:
    accuracies = [each.val_accuracy or 0.0 for each in trainings if each.setting == setting]
    return sum(accuracies) / len(accuracies)
