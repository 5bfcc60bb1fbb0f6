"""Search hyperparameters of train_baseline's network, train the best in full: data/arrays -> models/tuned."""

from pipeline.execution.stage import run_stage
from pipeline.foundation.tracker import Tracker
from pipeline.foundation.workspace import Workspace
from pipeline.networks.from_scratch import fit_from_scratch
from pipeline.params.tune import TuneConfig
from pipeline.training.session import training_session
from pipeline.tuning.searching import best_trial, config_of, save_trials, search, trial_runner


class Config(TuneConfig):
    """What DVC watches for this stage."""


def run(workspace: Workspace, config: Config, tracker: Tracker) -> None:
    with training_session(workspace, tracker, "tune", "tuned", config) as session:
        run_trial = trial_runner(session, config)
        trials = search(config.tune, config.seed, session.checkpoints / "search", run_trial)
        best = config_of(best_trial(trials).hyperparameters, config.tune.epochs, config)
        on_epoch = session.record_start(session.run, best.model_dump(mode="json"))
        session.save(fit_from_scratch(session.data, best, session.checkpoints / "final", on_epoch))
        save_trials(session.folder, trials)


if __name__ == "__main__":
    run_stage("tune", run, Config)
