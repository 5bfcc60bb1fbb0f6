"""Fit a new head on a pretrained backbone, then fine-tune: data/arrays -> models/transfer."""

from pipeline.execution.stage import run_stage
from pipeline.foundation.tracker import Tracker
from pipeline.foundation.workspace import Workspace
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.base import NonNegativeInt, PositiveFloat, PositiveInt, Section
from pipeline.params.fitting import Precision
from pipeline.params.train_transfer import TrainTransferParams
from pipeline.training.candidate import Hardware
from pipeline.training.fit_transfer import fit_transfer
from pipeline.training.session import training_session


class Config(Section):
    """What DVC watches for this stage."""

    seed: NonNegativeInt
    threads: PositiveInt
    precision: Precision
    lr: PositiveFloat
    batch_size: PositiveInt
    augmentation: AugmentationParams
    train_transfer: TrainTransferParams


def run(workspace: Workspace, config: Config, tracker: Tracker) -> None:
    hyperparameters = config.model_dump(mode="json")
    with training_session(workspace, tracker, "train_transfer", "transfer", config) as session:
        fitted = fit_transfer(
            session.source,
            config.train_transfer,
            config.augmentation,
            learning_rate=config.lr,
            batch_size=config.batch_size,
            hardware=Hardware(config.seed, config.precision),
            checkpoints=session.checkpoints,
            on_epoch=session.record_start(session.run, hyperparameters),
            weights_base=workspace.home,
        )
        session.save(fitted, config.train_transfer.backbone, hyperparameters)


if __name__ == "__main__":
    run_stage("train_transfer", run, Config)
