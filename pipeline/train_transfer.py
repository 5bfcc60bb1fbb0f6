"""Fit a new head on a pretrained backbone, then fine-tune: data/arrays -> models/transfer."""

from pipeline.backbones.transfer import feature_cache, fit_transfer
from pipeline.execution.stage import run_stage
from pipeline.foundation.tracker import Tracker
from pipeline.foundation.workspace import Workspace
from pipeline.params.train_transfer import TransferConfig
from pipeline.training.session import training_session


class Config(TransferConfig):
    """What DVC watches for this stage."""


def run(workspace: Workspace, config: Config, tracker: Tracker) -> None:
    with training_session(workspace, tracker, "train_transfer", "transfer", config) as session:
        on_epoch = session.record_start(session.run, config.model_dump(mode="json"))
        features = feature_cache(workspace, config, config.train_transfer.weights)
        session.save(
            fit_transfer(session.data, config, session.checkpoints, on_epoch, workspace.home, features)
        )


if __name__ == "__main__":
    run_stage("train_transfer", run, Config)
