"""What every training stage has around its fitting: data, checkpoints, live epochs, and the saved model."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.foundation.tracker import Run, Tracker, log_epoch, log_training_data
from pipeline.foundation.workspace import Workspace
from pipeline.params.base import Section
from pipeline.processes.resumption import resumable
from pipeline.training.data import TrainingData
from pipeline.training.fitting import EpochResult, Fitted, OnEpoch
from pipeline.training.saving import save_trained_model


@dataclass(frozen=True)
class TrainingSession:
    """A stage's training while it runs.

    Attributes:
      stage: train_baseline, train_transfer or tune.
      candidate: what it trains: baseline, transfer or tuned.
      data: training and validation images.
      run: where its epochs are seen while it runs.
      run_key: the same after a kill; keys of nested runs begin with it.
      checkpoints: a folder that a killed run left its state in.
      folder: models/<candidate>.
    """

    stage: str
    candidate: str
    data: TrainingData
    run: Run
    run_key: str
    checkpoints: Path
    folder: Path

    def record_start(self, run: Run, hyperparameters: dict[str, Any]) -> OnEpoch:
        """Show params and data in `run` from the start; returns what shows an epoch there."""
        run.log_params(hyperparameters)
        sizes = {"train": len(self.data.train), "validation": len(self.data.validation)}
        log_training_data(run, self.data.digest, sizes)

        def on_epoch(result: EpochResult, images_per_second: float) -> None:
            log_epoch(run, {**asdict(result), "images_per_second": images_per_second})

        return on_epoch

    def save(self, fitted: Fitted) -> None:
        """Write models/<candidate>."""
        card = save_trained_model(self.folder, fitted, self.data, self.candidate, self.stage)
        print(
            f"  {self.candidate}: {card.network}, {card.parameters.total:,} parameters, "
            f"validation accuracy {fitted.kept.val_accuracy:.4f}",
            flush=True,
        )


@contextmanager
def training_session(
    workspace: Workspace, tracker: Tracker, stage: str, candidate: str, config: Section
) -> Iterator[TrainingSession]:
    """Load the data, lock and find the checkpoints, open the run. Raises PipelineError."""
    data = TrainingData.load(workspace.arrays)
    with resumable(workspace, stage, config.model_dump(mode="json"), data.digest) as place:
        yield TrainingSession(
            stage=stage,
            candidate=candidate,
            data=data,
            run=tracker.run(candidate, place.run_key),
            run_key=place.run_key,
            checkpoints=place.folder,
            folder=workspace.model(candidate),
        )
        place.keep_until_noted(workspace.network(candidate))
