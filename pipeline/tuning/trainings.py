"""The trainings of a search, as runs nested in its own: trials, and full ones that confirm what was found."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.backbones.features import FeatureCache
from pipeline.params.tune import TuneConfig
from pipeline.training.fitting import EpochResult, Fitted
from pipeline.training.session import TrainingSession
from pipeline.tuning.confirming import Which
from pipeline.tuning.settings import Setting, fit_setting, setting_of


@dataclass(frozen=True)
class Trainings:
    """What a search trains.

    Attributes:
      session: that of the stage.
      config: what was given.
      weights_base: where a relative path in train_transfer.weights begins.
      features: by the search's seed, so that no image passes a frozen backbone twice.
    """

    session: TrainingSession
    config: TuneConfig
    weights_base: Path
    features: FeatureCache

    def trial(self, name: str, hyperparameters: dict[str, Any], epochs: int) -> EpochResult:
        """Fit a trial; returns the epoch whose weights it kept. Raises DivergedError."""
        said = ", ".join(f"{key} {_short(value)}" for key, value in hyperparameters.items())
        print(f"trial {name}: {said}", flush=True)
        setting = setting_of(hyperparameters, epochs, self.config)
        # A seed of the trial's own, by its name: a search that goes on after a kill finds the same one.
        own = setting.model_copy(update={"seed": self.config.seed + 1 + int(name)})
        for earlier in self.session.checkpoints.glob("nested-trial-*"):
            if earlier.name != f"nested-trial-{name}":
                shutil.rmtree(earlier)
        return self._nested(f"trial-{name}", own, {**hyperparameters, "epochs": epochs}).kept

    def in_full(self, hyperparameters: Mapping[Which, dict[str, Any]]) -> Callable[[Which, int], Fitted]:
        """What fits either setting with all epochs under a seed; raises DivergedError."""

        def fit_in_full(which: Which, seed: int) -> Fitted:
            print(f"the {which} setting in full, seed {seed}", flush=True)
            setting = self.full_setting(hyperparameters[which]).model_copy(update={"seed": seed})
            return self._nested(f"{which}-{seed}", setting, setting.model_dump(mode="json"))

        return fit_in_full

    def full_setting(self, hyperparameters: dict[str, Any]) -> Setting:
        return setting_of(hyperparameters, self.config.tune.epochs, self.config)

    def final(self, setting: Setting) -> Fitted:
        """Fit the only setting that there is, in the session's own run. Raises DivergedError."""
        on_epoch = self.session.record_start(self.session.run, setting.model_dump(mode="json"))
        checkpoints = self.session.checkpoints / "final"
        return fit_setting(
            self.session.data, setting, checkpoints, on_epoch, self.weights_base, self.features
        )

    def _nested(self, name: str, setting: Setting, shown: dict[str, Any]) -> Fitted:
        checkpoints = self.session.checkpoints / f"nested-{name}"
        with self.session.run.child(name, f"{self.session.run_key}-{name}") as run:
            on_epoch = self.session.record_start(run, shown)
            return fit_setting(
                self.session.data, setting, checkpoints, on_epoch, self.weights_base, self.features
            )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
