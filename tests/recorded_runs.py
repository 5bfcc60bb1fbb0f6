"""Runs that remember what they were told."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.foundation.tracker import Run


@dataclass
class RecordedRun:
    """What was recorded in one run, its nested runs included."""

    key: str = ""
    status: str = "RUNNING"
    params: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    epochs: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    datasets: list[tuple[str, str, dict[str, int]]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    models: list[str] = field(default_factory=list)
    children: dict[str, "RecordedRun"] = field(default_factory=dict)

    @property
    def steps(self) -> list[int]:
        return [step for step, _ in self.epochs]

    def log_params(self, params: Mapping[str, Any]) -> None:
        self.params.update(params)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if step is None:
            self.metrics.update(metrics)
        else:
            self.epochs.append((step, dict(metrics)))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self.tags.update(tags)

    def log_dataset(self, name: str, digest: str, subset_sizes: Mapping[str, int]) -> None:
        used = (name, digest, dict(subset_sizes))
        if used not in self.datasets:  # as MLflow has it
            self.datasets.append(used)

    def log_artifact(self, path: Path, folder: str = "") -> None:
        self.files[f"{folder}/{path.name}" if folder else path.name] = path.read_bytes()

    def log_text(self, text: str, name: str) -> None:
        self.files[name] = text.encode()

    def log_model(self, folder: Path, digest: str) -> None:
        assert (folder / "model.keras").is_file()
        assert (folder / "card.json").is_file()
        self.models.append(digest)

    @contextmanager
    def child(self, name: str, key: str) -> Iterator[Run]:
        run = _known(self.children, name, key)
        run.status = "RUNNING"
        try:
            yield run
        except BaseException:
            run.status = "FAILED"
            raise
        run.status = "FINISHED"


@dataclass
class RecordingTracker:
    """Keeps what a stage records."""

    runs: dict[str, RecordedRun] = field(default_factory=dict)

    def run(self, name: str, key: str) -> RecordedRun:
        return _known(self.runs, name, key)


def _known(runs: dict[str, RecordedRun], name: str, key: str) -> RecordedRun:
    run = runs.setdefault(name, RecordedRun(key))
    assert run.key == key, f"{name} goes on under another key than it began with"
    return run
