"""The Tracker that stages are handed: it writes a journal and never waits for MLflow."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pipeline
from pipeline.foundation.declarations import parse_values
from pipeline.foundation.tracker import Run, RunContext
from pipeline.foundation.workspace import CARD_FILE, NETWORK_FILE, Workspace
from pipeline.repository.stage_outputs import EVALUATION
from pipeline.tracking import provenance, tags
from pipeline.tracking.flat_params import as_text
from pipeline.tracking.journal.journal import Journal, JournalWriter, Progress, runs_waiting
from pipeline.tracking.journal.logged_model import DECODING_CODE, MODEL_CODE
from pipeline.tracking.journal.parents import ParentRun, parent_run
from pipeline.tracking.own_database import is_in_the_bin
from pipeline.tracking.redaction import without_credentials

_LONGEST_WAIT_SECONDS = 20.0
_SILENT_WAIT_SECONDS = 2.0
_MODEL_FILES = (NETWORK_FILE, CARD_FILE)


class JournalTracker:
    """Records the runs of one stage process; `with` closes the journal when the stage ends.

    The journal and the process that delivers it are made when the first run is opened, so that a
    stage without runs pays nothing. No failure to record reaches the stage: it is said once.
    """

    def __init__(self, workspace: Workspace, stage: str, experiment: str, params: Mapping[str, Any]) -> None:
        """`params` are those that the stage declares; `experiment` is MLflow's name for the project."""
        self.workspace = workspace
        self.stage = stage
        self._experiment = experiment
        self.params = dict(params)
        self._writer: JournalWriter | None = None
        self._delivery: subprocess.Popen[bytes] | None = None
        self._tags: dict[str, str] = {}
        self._open: list[_JournalRun] = []
        self._has_said_why = False
        self._number_of_runs = 0
        self._said: set[str] = set()

    def run(self, name: str, key: str) -> Run:
        run = self._new_run()
        kind = tags.KIND_EVALUATION if self.stage == EVALUATION else tags.KIND_TRAINING
        run.start(name, key, {**self._tags, tags.KIND: kind})
        run.log_text(json.dumps(provenance.system_information(), indent=2) + "\n", "system.json")
        self._open.append(run)
        return run

    @property
    def stage_run(self) -> Run | None:
        """The run that the stage has opened; None before that."""
        return self._open[-1] if self._open else None

    def run_of_model(self, digest: str) -> Run:
        """The latest run that trained the model with this digest, to add what was found out later.

        Where no such run is known (a model that DVC restored from its cache), what is added is dropped.
        """
        run = self._new_run()
        run.append({"event": "attach", "model_digest": digest})
        return run

    def fail_runs(self, reason: str) -> None:
        """All runs recorded here count as failed, also those that have ended well."""
        self._has_said_why = True
        self._append({"event": "fail", "reason": without_credentials(reason)})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is None:
            return
        for run in self._open:
            if isinstance(error, Exception) and not self._has_said_why:
                run.set_tags({tags.FAILURE: _reason(error)})
            run.end(kind)
        with self.failures_said():
            self._writer.close()
        if kind is None or issubclass(kind, Exception):
            self._wait_for_delivery()

    @contextmanager
    def _child(self, name: str, key: str, parent: str) -> Iterator[Run]:
        run = self._new_run()
        run.start(name, key, {**self._tags, tags.KIND: tags.KIND_TRIAL}, parent)
        try:
            yield run
        except BaseException as error:
            run.end(type(error))
            raise
        run.end(None)

    def _new_run(self) -> "_JournalRun":
        self._number_of_runs += 1
        with self.failures_said():
            if self._writer is None:
                self._writer = self._open_journal()
            self._start_delivery(self._writer)
        return _JournalRun(self, str(self._number_of_runs))

    def _open_journal(self) -> JournalWriter:
        if is_in_the_bin(self.workspace, self._experiment):
            print(
                f"{self.stage}: the experiment {self._experiment} was deleted in MLflow; "
                "this run brings it back",
                flush=True,
            )
        self._tags = provenance.run_tags(self.workspace, self.stage, self.params)
        # All of it now: a queued experiment's folder is gone when its journal is delivered late.
        file = self.workspace.params
        params = parse_values(file.read_text(encoding="utf-8")) if file.exists() else {}
        parent = asdict(parent_run(self._tags, params))
        return JournalWriter(self.workspace.journal, self.stage, self._experiment, parent)

    def _start_delivery(self, writer: JournalWriter) -> None:
        """Start the delivering process unless it runs: in a session of its own, so that Ctrl-C spares it."""
        if self._delivery is not None and self._delivery.poll() is None:
            return
        home = self.workspace.home
        package = str(Path(pipeline.__file__).parent.parent)
        paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        with writer.journal.log.open("ab") as log:
            self._delivery = subprocess.Popen(
                [sys.executable, "-m", "pipeline.tracking.journal.delivery", str(home), writer.journal.name],
                cwd=home,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _wait_for_delivery(self) -> None:
        """Wait a little for MLflow to have everything; say where the rest is when it has not."""
        if self._writer is None or self._delivery is None:
            return
        journal, began, said = self._writer.journal, time.monotonic(), False
        while journal.exists and self._delivery.poll() is None and not Progress.load(journal).unreachable:
            waited = time.monotonic() - began
            if waited > _LONGEST_WAIT_SECONDS:
                print(f"{self.stage}: MLflow is still being filled, in the background", flush=True)
                return
            if waited > _SILENT_WAIT_SECONDS and not said:
                print(f"{self.stage}: waiting for MLflow to take in what was recorded", flush=True)
                said = True
            time.sleep(0.05)
        if journal.exists:
            self._say_what_waits(Progress.load(journal).unreachable)

    def _say_what_waits(self, reason: str) -> None:
        count = runs_waiting(self.workspace.journal)
        runs = "1 run waits" if count == 1 else f"{count} runs wait"
        why = f" ({reason})" if reason else ""
        print(
            f"{self.stage}: MLflow does not have everything yet{why}: {runs} in "
            f"{self.workspace.journal.name}/; 'python -m pipeline sync' delivers what waits, "
            "as does the next stage",
            flush=True,
        )

    def _append(self, event: Mapping[str, Any]) -> None:
        with self.failures_said():
            if self._writer is not None:
                self._writer.append(event)

    @contextmanager
    def failures_said(self) -> Iterator[None]:
        """Recording must not fail a stage: a full disk or a missing file is said once and passed over."""
        try:
            yield
        except (OSError, ValueError, TypeError) as error:
            message = without_credentials(str(error))
            if message not in self._said:
                self._said.add(message)
                print(f"{self.stage}: not recorded in MLflow: {message}", file=sys.stderr, flush=True)


def _reason(error: Exception) -> str:
    """What went wrong, in its first line."""
    return without_credentials(str(error).partition("\n")[0]) or type(error).__name__


class RestoringTracker(JournalTracker):
    """Records runs for which nothing was executed; `with` hands all of them over for delivery, or none.

    The code that uses it delivers the journal. What cannot be recorded is raised: there is no stage to spare.
    """

    def __init__(self, workspace: Workspace, experiment: str, parent: ParentRun, time: int) -> None:
        """All happens at `time`, in milliseconds since 1970, below `parent`."""
        super().__init__(workspace, "sync", experiment, {})
        self._parent = parent
        self._time = time

    def restored_run(self, name: str, key: str, run_tags: Mapping[str, str]) -> Run:
        """A run that the store gets once for each `key`, without a duration."""
        run = self._new_run()
        run.start(name, key, {**run_tags, tags.RESTORED: "true"}, restored=True)
        self._open.append(run)
        return run

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is None:
            return
        if kind is None:
            for run in self._open:
                run.end(None)
        self._writer.close()
        if kind is None:
            self._writer.reveal()
        else:
            self._writer.journal.remove()

    @property
    def journal(self) -> Journal | None:
        """What is to be delivered after `with`; None where no run was recorded."""
        return self._writer.journal if self._writer is not None else None

    def _open_journal(self) -> JournalWriter:
        return JournalWriter(
            self.workspace.journal, self.stage, self._experiment, asdict(self._parent), hidden=True
        )

    def _start_delivery(self, writer: JournalWriter) -> None: ...

    def _append(self, event: Mapping[str, Any]) -> None:
        super()._append({"time": self._time, **event})

    @contextmanager
    def failures_said(self) -> Iterator[None]:
        yield


class _JournalRun:
    """A run that is being recorded, or added to; `number` names it within the journal."""

    def __init__(self, tracker: JournalTracker, number: str) -> None:
        self._tracker = tracker
        self.number = number

    def start(
        self, name: str, key: str, tags: Mapping[str, str], parent: str | None = None, restored: bool = False
    ) -> None:
        """Make or continue the run; `parent` is the number of the run that it is nested in."""
        start = {"event": "start", "name": name, "key": key, "parent": parent, "tags": dict(tags)}
        self.append({**start, "restored": True} if restored else start)

    def end(self, error: type[BaseException] | None) -> None:
        """End it as its stage or its trial has ended: well, with an error, or stopped by somebody."""
        failed = "FAILED" if error is not None and issubclass(error, Exception) else "KILLED"
        self.append({"event": "end", "status": "FINISHED" if error is None else failed})

    def log_params(self, params: Mapping[str, Any]) -> None:
        self.append({"event": "params", "params": as_text(params)})

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        values = {name: float(value) for name, value in metrics.items()}
        self.append({"event": "metrics", "metrics": values, "step": step or 0})

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self.append({"event": "tags", "tags": {name: without_credentials(str(tags[name])) for name in tags}})

    def log_dataset(self, name: str, digest: str, subset_sizes: Mapping[str, int]) -> None:
        sizes = {subset: int(size) for subset, size in subset_sizes.items()}
        self.append({"event": "dataset", "name": name, "digest": digest, "subset_sizes": sizes})

    def log_artifact(self, path: Path, folder: str = "") -> None:
        with self._tracker.failures_said():
            if (writer := self._tracker._writer) is not None:
                self.append({"event": "artifact", "file": writer.copy(path), "folder": folder})

    def log_text(self, text: str, name: str) -> None:
        with self._tracker.failures_said():
            if (writer := self._tracker._writer) is not None:
                folder, _, file_name = name.rpartition("/")
                file = writer.write_text(text, file_name)
                self.append({"event": "artifact", "file": file, "folder": folder})

    def log_model(self, folder: Path, digest: str) -> None:
        with self._tracker.failures_said():
            if (writer := self._tracker._writer) is not None:
                network, card = (writer.copy(folder / name) for name in _MODEL_FILES)
                # The code too: a queued experiment's folder may be gone when the model is delivered.
                code, decoding = writer.copy(MODEL_CODE), writer.copy(DECODING_CODE)
                files = {"network": network, "card": card, "code": code, "decoding": decoding}
                self.append({"event": "model", "files": files, "digest": digest})

    def child(self, name: str, key: str) -> RunContext:
        return self._tracker._child(name, key, self.number)

    def append(self, event: Mapping[str, Any]) -> None:
        self._tracker._append({**event, "run": self.number})
