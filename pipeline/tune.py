"""Search hyperparameters of train_baseline's network, train the best in full: data/arrays -> models/tuned."""

from pipeline.execution.stage import run_stage
from pipeline.foundation.tracker import Tracker
from pipeline.foundation.workspace import Workspace
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.base import NonNegativeInt, PositiveInt, Section
from pipeline.params.fitting import Precision
from pipeline.params.train_baseline import TrainBaselineParams
from pipeline.params.tune import TuneParams
from pipeline.training.candidate import Hardware
from pipeline.training.fit_from_scratch import fit_from_scratch
from pipeline.training.session import training_session
from pipeline.tuning.searching import best_trial, save_trials, search, setting_of, trial_runner


class Config(Section):
    """What DVC watches for this stage; lr and batch_size come from tune.space."""

    seed: NonNegativeInt
    threads: PositiveInt
    precision: Precision
    augmentation: AugmentationParams
    train_baseline: TrainBaselineParams
    tune: TuneParams


def run(workspace: Workspace, config: Config, tracker: Tracker) -> None:
    hardware = Hardware(config.seed, config.precision)
    network, augmentation = config.train_baseline, config.augmentation
    with training_session(workspace, tracker, "tune", "tuned", config) as session:
        run_trial = trial_runner(session, network, augmentation, hardware)
        trials = search(config.tune, config.seed, session.checkpoints / "search", run_trial)
        best = best_trial(trials)
        setting = setting_of(best.hyperparameters, config.tune.epochs, network, augmentation)
        hyperparameters = {**config.model_dump(mode="json", exclude={"tune"}), **setting.to_params()}
        on_epoch = session.record_start(session.run, hyperparameters)
        fitted = fit_from_scratch(session.source, setting, hardware, session.checkpoints / "final", on_epoch)
        session.save(fitted, network.network, hyperparameters)
        save_trials(session, trials)


if __name__ == "__main__":
    run_stage("tune", run, Config)
