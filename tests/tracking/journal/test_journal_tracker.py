"""What a stage writes into its journal, without MLflow."""

import errno
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline.foundation.workspace import Workspace
from pipeline.tracking.journal.journal import Journal, JournalWriter, pending_journals
from tests.tracking.conftest import MakeTracker, ReadEvents, RunScript


def test_events_stand_in_the_journal_in_their_order(
    tracker: MakeTracker, workspace: Workspace, events: ReadEvents
) -> None:
    with tracker(workspace, threads=2) as recording:
        run = recording.run("baseline", "key-1")
        run.log_params({"lr": 0.1, "augmentation": {"shift": 0.1, "flip": False}, "widths": (32, 64)})
        run.log_metrics({"loss": 1}, step=1)
        with run.child("trial 1", "key-2") as child:
            child.log_metrics({"loss": 2.5}, step=1)

    written = events(workspace)
    assert [event["event"] for event in written] == [
        *("open", "start", "artifact", "params", "metrics", "start", "metrics", "end", "end", "close")
    ]
    assert written[3]["params"] == {
        "lr": "0.1",
        "augmentation.shift": "0.1",
        "augmentation.flip": "False",
        "widths": "[32, 64]",
    }
    assert (written[1]["parent"], written[5]["parent"]) == (None, written[1]["run"])
    assert [event["status"] for event in written if event["event"] == "end"] == ["FINISHED", "FINISHED"]
    assert written[1]["tags"]["stage"] == "train_baseline"
    assert written[1]["tags"]["threads"] == "2"


def test_a_stage_without_runs_leaves_nothing(tracker: MakeTracker, workspace: Workspace) -> None:
    with tracker(workspace):
        pass
    assert not workspace.journal.exists()


def test_artifacts_are_copied_at_once(tracker: MakeTracker, workspace: Workspace, events: ReadEvents) -> None:
    picture, folder = workspace.root / "picture.png", workspace.root / "tables"
    picture.write_bytes(b"before")
    folder.mkdir()
    (folder / "a.csv").write_text("1")
    with tracker(workspace) as recording:
        run = recording.run("baseline", "key")
        run.log_artifact(picture, "figures")
        run.log_artifact(folder)
        picture.write_bytes(b"after")
        (folder / "a.csv").unlink()
        run.log_text("hello", "notes/of/mine.txt")
    (journal,) = pending_journals(workspace.journal)
    _, first, second, third = (event for event in events(workspace) if event["event"] == "artifact")
    assert (journal.artifacts / first["file"]).read_bytes() == b"before"
    assert (Path(first["file"]).name, first["folder"]) == ("picture.png", "figures")
    assert (journal.artifacts / second["file"] / "a.csv").read_text() == "1"
    assert (Path(third["file"]).name, third["folder"]) == ("mine.txt", "notes/of")


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("first line\nsecond line"), "FAILED", "first line"),
        (ValueError(), "FAILED", "ValueError"),
        (KeyboardInterrupt(), "KILLED", None),
        (SystemExit(1), "KILLED", None),
    ],
)
def test_a_run_ends_as_its_block_does(
    tracker: MakeTracker,
    workspace: Workspace,
    events: ReadEvents,
    error: BaseException,
    status: str,
    reason: str | None,
) -> None:
    with pytest.raises(type(error)), tracker(workspace) as recording:
        recording.run("baseline", "key")
        raise error
    written = events(workspace)
    assert [event["status"] for event in written if event["event"] == "end"] == [status]
    told = [event["tags"]["failure"] for event in written if event["event"] == "tags"]
    assert told == ([] if reason is None else [reason])


def test_no_credentials_are_recorded(tracker: MakeTracker, workspace: Workspace) -> None:
    with tracker(workspace) as recording:
        run = recording.run("baseline", "key")
        run.log_params({"fetch": {"location": "https://me:secret@mirror.example/cifar"}})
        run.set_tags({"from": "s3://id:secret@bucket"})
    (journal,) = pending_journals(workspace.journal)
    text = journal.events.read_text()
    assert "secret" not in text
    assert "https://mirror.example/cifar" in text


def test_a_full_disk_is_said_once_and_fails_nothing(
    tracker: MakeTracker,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(self: JournalWriter, event: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with tracker(workspace) as recording:
        run = recording.run("baseline", "key")
        monkeypatch.setattr(JournalWriter, "append", full)
        run.log_metrics({"loss": 1.0}, step=1)
        run.log_metrics({"loss": 0.5}, step=2)
    assert capsys.readouterr().err.count("No space left on device") == 1


def test_a_file_that_is_not_there_fails_nothing(
    tracker: MakeTracker, workspace: Workspace, capsys: pytest.CaptureFixture[str], events: ReadEvents
) -> None:
    with tracker(workspace) as recording:
        run = recording.run("baseline", "key")
        run.log_artifact(workspace.root / "missing.png")
        run.log_metrics({"loss": 1.0})
    assert "missing.png" in capsys.readouterr().err
    assert "metrics" in [event["event"] for event in events(workspace)]


def test_a_journal_is_alive_as_long_as_its_writer(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "tune", "tests")
    assert writer.journal.writer_is_alive()
    assert writer.journal.writer_is_alive()  # asking changes nothing
    writer.close()
    assert not writer.journal.writer_is_alive()


def test_torn_lines_are_skipped(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "tune", "tests")
    writer.append({"event": "first"})
    with writer.journal.events.open("ab") as file:
        file.write(b'{"event": "torn\n')
    writer.append({"event": "second"})
    with writer.journal.events.open("ab") as file:
        file.write(b'{"event": "unfinished"}')
    assert [event["event"] for event, _ in writer.journal.read(0)] == ["open", "first", "second"]
    writer.close()


def test_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "tune", "tests")
    offset = max(end for _, end in writer.journal.read(0))
    writer.append({"event": "next"})
    assert [event["event"] for event, _ in writer.journal.read(offset)] == ["next"]
    writer.close()


def test_a_removed_journal_is_gone(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "tune", "tests")
    writer.close()
    Journal(writer.journal.folder).remove()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_appears_only_when_it_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Journal]] = []
    append = JournalWriter.append

    def look_and_append(self: JournalWriter, event: Mapping[str, Any]) -> None:
        seen.append(pending_journals(tmp_path))
        append(self, event)

    monkeypatch.setattr(JournalWriter, "append", look_and_append)
    JournalWriter(tmp_path, "tune", "tests").close()
    assert seen[0] == []


def test_recording_imports_neither_mlflow_nor_tensorflow(run_script: RunScript, workspace: Workspace) -> None:
    done = run_script(
        """
        import sys
        from pathlib import Path
        from pipeline.foundation.workspace import Workspace
        from pipeline.tracking.journal.journal_tracker import JournalTracker
        JournalTracker._start_delivery = lambda self, writer: None
        with JournalTracker(Workspace(Path.cwd(), Path.cwd()), "tune", "tests", {}) as tracker:
            tracker.run("tuned", "key").log_metrics({"loss": 1.0}, step=1)
        print([name for name in ("mlflow", "tensorflow", "keras", "pandas") if name in sys.modules])
        """,
        workspace.root,
    )
    assert done == ("[]\n", "", 0)


def test_an_experiment_that_somebody_deleted_does_not_come_back_in_silence(
    tracker: MakeTracker, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(workspace.tracking_database)) as database, database:
        database.execute("CREATE TABLE experiments (name TEXT, lifecycle_stage TEXT)")
        database.execute("INSERT INTO experiments VALUES ('tests', 'deleted'), ('others', 'active')")
    with tracker(workspace) as recording:
        recording.run("baseline", "key")
    told = capsys.readouterr().out
    assert "the experiment tests was deleted in MLflow; this run brings it back" in told
