"""The silent tracker takes everything that a stage may record."""

from pathlib import Path

from pipeline.foundation.tracker import SilentTracker, Tracker


def test_a_stage_can_record_everything_into_nothing(tmp_path: Path) -> None:
    tracker: Tracker = SilentTracker()
    run = tracker.run("train_baseline", key="a")
    run.log_params({"network": {"widths": [1, 2]}})
    run.log_metrics({"loss": 1.0}, step=1)
    run.set_tags({"stage": "train_baseline"})
    run.log_dataset("digits", "0" * 64, {"train": 1})
    run.log_artifact(tmp_path / "no-such-file")
    run.log_text("text", "note.txt")
    run.log_model(tmp_path, "0" * 64)
    with run.child("trial 0", key="b") as trial:
        trial.log_metrics({"loss": 1.0})
    assert list(tmp_path.iterdir()) == []
