"""The epoch whose weights a training has kept, from the files of its run."""

import json
from pathlib import Path

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.tracking.runs.kept_epochs import read_kept_epoch
from pipeline.tracking.store import Store
from tests.tracking.made_runs import make_training

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

HISTORY = """\
phase,epoch,loss,accuracy,val_loss,val_accuracy,learning_rate
head,1,2.0,0.5,1.9,0.55,0.1
fine_tune,2,1.5,0.6,1.2,0.75,0.1
fine_tune,3,1.0,0.9,1.4,0.70,0.1
"""


def test_early_stopping_has_gone_back_to_a_better_epoch(store: Store, tmp_path: Path) -> None:
    run_id = make_training(store, metrics={"val_accuracy": 0.70})
    card = {"training": {"best_epoch": 2}, "parameters": {"total": 1234}, "versions": {"keras": "3.15.1"}}
    store.client.log_text(run_id, json.dumps(card), "card.json")
    store.client.log_text(run_id, HISTORY, "history.csv")
    kept = read_kept_epoch(store, run_id, tmp_path)
    assert (kept.validation_accuracy, kept.validation_loss) == (0.75, 1.2)
    assert (kept.epochs, kept.parameters, kept.versions) == (3, 1234, {"keras": "3.15.1"})


def test_a_run_without_its_files(store: Store, tmp_path: Path) -> None:
    run_id = make_training(store)
    with pytest.raises(PipelineError, match=f"MLflow has not handed out the files of run {run_id}"):
        read_kept_epoch(store, run_id, tmp_path)
