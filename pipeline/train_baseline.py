"""Train a network from scratch: data/arrays -> models/baseline."""

from pipeline.execution.stage import run_stage
from pipeline.foundation.tracker import Tracker
from pipeline.foundation.workspace import Workspace
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.base import NonNegativeInt, PositiveFloat, PositiveInt, Section
from pipeline.params.fitting import Precision
from pipeline.params.train_baseline import TrainBaselineParams
from pipeline.training.candidate import Hardware
from pipeline.training.fit_from_scratch import Setting, fit_from_scratch
from pipeline.training.session import training_session


class Config(Section):
    """What DVC watches for this stage."""

    seed: NonNegativeInt
    threads: PositiveInt
    precision: Precision
    lr: PositiveFloat
    batch_size: PositiveInt
    augmentation: AugmentationParams
    train_baseline: TrainBaselineParams


def run(workspace: Workspace, config: Config, tracker: Tracker) -> None:
    hyperparameters = config.model_dump(mode="json")
    with training_session(workspace, tracker, "train_baseline", "baseline", config) as session:
        fitted = fit_from_scratch(
            session.source,
            Setting(config.lr, config.batch_size, config.train_baseline, config.augmentation),
            Hardware(config.seed, config.precision),
            session.checkpoints,
            session.record_start(session.run, hyperparameters),
        )
        session.save(fitted, config.train_baseline.network, hyperparameters)


if __name__ == "__main__":
    run_stage("train_baseline", run, Config)
