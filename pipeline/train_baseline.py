"""Train a network from scratch: data/arrays -> models/baseline."""

from pipeline.execution.stage import run_stage
from pipeline.foundation.tracker import Tracker
from pipeline.foundation.workspace import Workspace
from pipeline.networks.from_scratch import fit_from_scratch
from pipeline.params.train_baseline import BaselineConfig
from pipeline.training.session import training_session


class Config(BaselineConfig):
    """What DVC watches for this stage."""


def run(workspace: Workspace, config: Config, tracker: Tracker) -> None:
    with training_session(workspace, tracker, "train_baseline", "baseline", config) as session:
        on_epoch = session.record_start(session.run, config.model_dump(mode="json"))
        session.save(fit_from_scratch(session.data, config, session.checkpoints, on_epoch))


if __name__ == "__main__":
    run_stage("train_baseline", run, Config)
