"""Search the hyperparameters of a candidate, train the best in full: data/arrays -> models/tuned."""

from dataclasses import asdict

from pipeline.backbones.transfer import feature_cache
from pipeline.execution.stage import run_stage
from pipeline.foundation.files import write_json
from pipeline.foundation.tracker import Tracker, log_epoch
from pipeline.foundation.workspace import Workspace
from pipeline.params.tune import TuneConfig
from pipeline.training.session import training_session
from pipeline.tuning.confirming import Confirmation, confirm, save_confirmation
from pipeline.tuning.searching import best_trial, save_trials, search
from pipeline.tuning.settings import given_hyperparameters
from pipeline.tuning.trainings import Trainings


class Config(TuneConfig):
    """What DVC watches for this stage."""


def run(workspace: Workspace, config: Config, tracker: Tracker) -> None:
    with training_session(workspace, tracker, "tune", "tuned", config) as session:
        features = feature_cache(workspace, config, config.train_transfer.weights)
        trainings = Trainings(session, config, workspace.home, features)
        given = given_hyperparameters(config)
        trials = search(config.tune, given, config.seed, session.checkpoints / "search", trainings.trial)
        found = best_trial(trials).hyperparameters
        if found == given:
            outcome = Confirmation((), "given", trainings.final(trainings.full_setting(given)))
        else:
            seeds = range(config.seed, config.seed + config.tune.confirm_seeds)
            outcome = confirm(seeds, trainings.in_full({"found": found, "given": given}))
            session.record_start(session.run, outcome.fitted.config.model_dump(mode="json"))
            for result in outcome.fitted.history:
                log_epoch(session.run, asdict(result))
        session.save(outcome.fitted)
        save_trials(workspace.trials, trials)
        write_json(workspace.best_hyperparameters, found if outcome.chosen == "found" else given)
        save_confirmation(workspace.confirmation, outcome.trainings)


if __name__ == "__main__":
    run_stage("tune", run, Config)
