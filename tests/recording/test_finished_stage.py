"""What the process of a stage records, as its journal has it."""

import json
from typing import Any

import pytest

from pipeline.foundation.workspace import Workspace
from pipeline.recording.finished_stage import begin_run, record_stage
from pipeline.tracking.journal.journal import pending_journals
from pipeline.tracking.journal.journal_tracker import JournalTracker
from tests.tracking.made_outputs import files_of, model_digest


@pytest.fixture(autouse=True)
def _no_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JournalTracker, "_start_delivery", lambda self, writer: None)


@pytest.fixture
def workspace(workspace: Workspace) -> Workspace:
    """With the outputs of all stages, and nothing that says so."""
    for path, content in files_of().items():
        file = workspace.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return workspace


def record(workspace: Workspace, stage: str) -> list[dict[str, Any]]:
    """Run an empty stage; returns the events of its journal, which is removed."""
    with JournalTracker(workspace, stage, "tests", {"seed": 0}) as tracker:
        begin_run(tracker)
        if stage == "train_baseline":
            tracker.run("baseline", "key")
        record_stage(tracker)
    events = []
    for journal in pending_journals(workspace.journal):
        events += [json.loads(line) for line in journal.events.read_text().splitlines()]
        journal.remove()
    return events


def metrics(events: list[dict[str, Any]], run: str) -> set[str]:
    told = [event["metrics"] for event in events if event["event"] == "metrics" and event["run"] == run]
    return {name for each in told for name in each}


def test_a_training_says_nothing_of_its_predecessors_scores(workspace: Workspace) -> None:
    events = record(workspace, "train_baseline")
    assert metrics(events, "1") == {"parameters", "forward_macs"}
    files = [event["file"].rpartition("/")[2] for event in events if event["event"] == "artifact"]
    assert files == ["system.json", "card.json", "history.csv"]


def test_an_evaluation_tells_itself_and_every_training(workspace: Workspace) -> None:
    events = record(workspace, "evaluate")
    trainings = {event["run"]: event["model_digest"] for event in events if event["event"] == "attach"}
    assert set(trainings.values()) == {model_digest(name) for name in ("baseline", "transfer", "tuned")}
    assert all("test_accuracy" in metrics(events, run) for run in trainings)
    assert "tuned/test_accuracy" in metrics(events, "1")
    # The trainings' runs have ended; only this one ends with the stage.
    assert [(event["run"], event["status"]) for event in events if event["event"] == "end"] == [
        ("1", "FINISHED")
    ]


def test_an_evaluation_after_a_kill_has_the_key_of_the_one_before(workspace: Workspace) -> None:
    keys = {
        event["key"] for _ in range(2) for event in record(workspace, "evaluate") if event["event"] == "start"
    }
    assert len(keys) == 1


def test_what_cannot_be_told_fails_no_stage(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    workspace.card("baseline").unlink()
    events = record(workspace, "train_baseline")
    assert (
        capsys.readouterr().err == "train_baseline: not recorded in MLflow: outputs of the stage are gone\n"
    )
    assert events[-2]["status"] == "FINISHED"


def test_other_stages_record_nothing(workspace: Workspace) -> None:
    assert record(workspace, "split") == []
