"""What runs can be told, as an interface; `tracking` implements it over MLflow.

A stage is handed a Tracker for what only a running stage knows, such as the epochs of a training; what
it has made when it has ended is told by `recording`. Nobody waits for a tracker: recording must not fail
or slow a stage, and nothing that a tracker returns may reach an output.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol


class Run(Protocol):
    """One training, trial or evaluation being recorded."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Hyperparameters; nested mappings are flattened with dots."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Figures, of one epoch where `step` (counted from 1) is given."""

    def set_tags(self, tags: Mapping[str, str]) -> None: ...

    def log_dataset(self, name: str, digest: str, subset_sizes: Mapping[str, int]) -> None:
        """The data that the run used: name, digest of the split arrays, images per subset."""

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """A file or folder, copied at once, so that the caller may change or delete it afterwards."""

    def log_text(self, text: str, name: str) -> None:
        """A text file called `name` (with any folders)."""

    def log_model(self, folder: Path, digest: str) -> None:
        """A trained-model folder (model.keras, card.json); `digest` is that of model.keras."""

    def child(self, name: str, key: str) -> "RunContext":
        """A run nested in this one; the same `key` continues the same run after a kill."""


class RunContext(Protocol):
    """`with` opens the run; it ends FINISHED, FAILED when the block raises, or KILLED when it is stopped."""

    def __enter__(self) -> Run: ...

    def __exit__(self, *exception: Any) -> bool | None: ...


class Tracker(Protocol):
    def run(self, name: str, key: str) -> Run:
        """The run of this stage, which ends with the stage: FINISHED, FAILED or KILLED.

        The same `key` continues the same run after a kill.
        """


def log_training_data(run: Run, digest: str, subset_sizes: Mapping[str, int]) -> None:
    """The arrays that a training used; it has seen these two subsets only."""
    seen = {name: subset_sizes[name] for name in ("train", "validation") if name in subset_sizes}
    run.log_dataset("arrays", digest, seen)


def log_epoch(run: Run, epoch: Mapping[str, Any]) -> None:
    """One epoch of a training, as a line of history.csv has it, as points of curves."""
    curves = {name: float(value) for name, value in epoch.items() if name not in ("phase", "epoch")}
    run.log_metrics(curves, step=int(epoch["epoch"]))


class _SilentRun:
    def log_params(self, params: Mapping[str, Any]) -> None: ...

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None: ...

    def set_tags(self, tags: Mapping[str, str]) -> None: ...

    def log_dataset(self, name: str, digest: str, subset_sizes: Mapping[str, int]) -> None: ...

    def log_artifact(self, path: Path, folder: str = "") -> None: ...

    def log_text(self, text: str, name: str) -> None: ...

    def log_model(self, folder: Path, digest: str) -> None: ...

    @contextmanager
    def child(self, name: str, key: str) -> Iterator[Run]:
        yield self


class SilentTracker:
    """Records nothing: for tests, and for work that is not part of the pipeline's runs."""

    def run(self, name: str, key: str) -> Run:
        return _SilentRun()
