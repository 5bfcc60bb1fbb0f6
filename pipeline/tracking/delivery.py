"""Delivers journals to MLflow, live while a stage runs or later.

Run as a process (`python -m pipeline.tracking.delivery <home> <journal>`) by the tracker of a stage;
`sync` uses the same functions for what is left. An event counts as delivered when MLflow has
acknowledged it; a process that is killed in between delivers that event again, and every event is
delivered such that a second time changes nothing. A run is found again by its tags, never created
twice.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import Timeout

from pipeline.foundation.workspace import Workspace
from pipeline.tracking.journal import Event, Journal, Progress, pending_journals
from pipeline.tracking.logged_model import log_model
from pipeline.tracking.provenance import origin
from pipeline.tracking.redaction import without_credentials
from pipeline.tracking.store import Store, StoreUnavailableError, is_rejection, one_line

if TYPE_CHECKING:
    from mlflow.entities import Run

_POLL_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 30.0
_OTHER_DELIVERY_SECONDS = 60.0
_METRIC_EVENTS_AT_ONCE = 200
_LONGEST_PARAM, _LONGEST_TAG, _LONGEST_KEY, _LONGEST_DATASET_DIGEST = 6000, 8000, 250, 36
_ENTITIES_AT_ONCE = 100
_NICENESS = 10

_DEFECTS = (AttributeError, FileNotFoundError, KeyError, TypeError, ValueError)
"""What an event itself can be the cause of; tried again, it would fail for ever."""

REJECTED = "rejected.log"
"""Beside the journals: events that MLflow will never take, each with its reason."""


def deliver(journal: Journal, store: Store, patience_seconds: float = _OTHER_DELIVERY_SECONDS) -> bool:
    """Deliver what stands in a journal now; True when that was all and the journal is gone.

    Where another process is delivering it, wait for that one.

    Raises:
      StoreUnavailableError: MLflow could not be reached, or the other process is not done in time.
    """
    try:
        with journal.delivery_lock().acquire(timeout=patience_seconds):
            if not journal.exists:
                journal.remove()  # the other process has delivered it whole; only our lock is there
                return True
            return _Delivery(journal, store).catch_up()
    except Timeout:
        raise StoreUnavailableError(f"another process is still delivering {journal.name}") from None
    except FileNotFoundError:
        if journal.folder.exists():
            raise
        return True  # the other process has delivered it whole and removed it while we waited


def deliver_older(journals: list[Journal], store: Store) -> None:
    """Deliver, in their order, the journals of stages that have ended: later ones may build on them."""
    for journal in journals:
        if not journal.writer_is_alive():
            deliver(journal, store)


def follow(workspace: Workspace, journal: Journal) -> None:
    """Deliver a journal while it is written, until its stage has ended and all is delivered.

    Where MLflow cannot be reached it tries again, ever more rarely, and a last time when the stage
    has ended; the journal then stays.
    """
    try:
        with journal.delivery_lock().acquire(timeout=0):
            _follow(workspace, journal)
    except Timeout:
        return  # another process is at it
    except FileNotFoundError:
        if journal.folder.exists():
            raise  # otherwise another process has delivered it whole


def _follow(workspace: Workspace, journal: Journal) -> None:
    older = [each for each in pending_journals(workspace.journal) if each.name < journal.name]
    store: Store | None = None
    pause = _POLL_SECONDS
    while True:
        alive = journal.writer_is_alive()
        try:
            store = store or Store(workspace)
            deliver_older(older, store)
            older = []
            if _Delivery(journal, store).catch_up():
                return
            pause = _POLL_SECONDS
        except StoreUnavailableError as error:
            progress = Progress.load(journal)
            progress.unreachable = str(error)
            progress.save(journal)
            print(f"MLflow could not be reached: {error}", flush=True)
            if not alive:
                return
            pause = min(max(2 * pause, 2.0), _LONGEST_PAUSE_SECONDS)
        _sleep_while_written(journal, pause)


def _sleep_while_written(journal: Journal, seconds: float) -> None:
    """Pause, but no longer than the stage runs."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and journal.writer_is_alive():
        time.sleep(_POLL_SECONDS)


class _Delivery:
    """Delivers the events of one journal, whose delivery lock is held."""

    def __init__(self, journal: Journal, store: Store) -> None:
        self._journal = journal
        self._store = store
        self._progress = Progress.load(journal)
        if self._progress.store != store.digest:
            self._progress = Progress(store=store.digest)
        self._experiment = ""

    def catch_up(self) -> bool:
        """Deliver what is there; True when nothing can follow any more. Raises StoreUnavailableError."""
        # Asked before reading: what the writer wrote before it died is then there to be read.
        alive = self._journal.writer_is_alive()
        self._experiment = next((event["experiment"] for event, _ in self._journal.read(0)), "")
        with self._unavailable_when_unreachable():
            for events, offset in _grouped(self._journal.read(self._progress.offset)):
                self._deliver(events)
                self._progress.offset = offset
                self._progress.unreachable = ""
                self._progress.save(self._journal)
            if alive:
                return False
            self._kill_what_runs()
        self._journal.remove()
        return True

    def _deliver(self, events: list[Event]) -> None:
        """Deliver one event, or several sets of metrics of one run; what MLflow refuses is put aside."""
        try:
            getattr(self, "_on_" + events[0]["event"])(events)
        except Exception as error:
            if not is_rejection(error) and not isinstance(error, _DEFECTS):
                raise  # of the network or the disk: it may pass
            self._put_aside(events, error)

    def _put_aside(self, events: list[Event], error: Exception) -> None:
        trace = without_credentials(traceback.format_exc())
        record = {
            "journal": self._journal.name,
            "reason": one_line(error),
            "events": events,
            "traceback": trace,
        }
        with (self._journal.folder.parent / REJECTED).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    @contextmanager
    def _unavailable_when_unreachable(self) -> Iterator[None]:
        try:
            yield
        except StoreUnavailableError:
            raise
        except Exception as error:
            raise StoreUnavailableError(self._store.why(error)) from error

    def _on_open(self, events: list[Event]) -> None:
        self._store.experiment_id(self._experiment)

    def _on_close(self, events: list[Event]) -> None: ...

    def _on_start(self, events: list[Event]) -> None:
        """Create a run, or continue the one with the same key that has not finished."""
        (event,) = events
        number, key = event["run"], event["key"]
        tags = {**event["tags"], "run_key": key, "start_event": f"{self._journal.name}/{number}"}
        if event["parent"] is not None and (parent := self._progress.runs.get(event["parent"])):
            tags["mlflow.parentRunId"] = parent
        run = self._store.find_run(self._experiment, {"start_event": tags["start_event"]})
        spent = 0.0
        if run is None:
            run = self._unfinished_run(key)
            if run is not None:
                tags["resumed"] = str(int(run.data.tags.get("resumed", "0")) + 1)
        if run is None:
            run = self._store.client.create_run(
                self._store.experiment_id(self._experiment), event["time"], tags, event["name"]
            )
        else:
            spent = run.data.metrics.get("duration_seconds", 0.0)
            self._set_tags(run.info.run_id, tags)
            self._store.client.update_run(run.info.run_id, status="RUNNING")
        self._progress.runs[number] = run.info.run_id
        self._progress.started[number] = event["time"] - round(1000 * spent)

    def _unfinished_run(self, key: str) -> "Run | None":
        """The latest run with this key, unless it has finished or another process is recording it."""
        home = self._journal.folder.parent.parent
        run = self._store.find_run(self._experiment, {"run_key": key, "origin": origin(home)})
        if run is None or run.info.status == "FINISHED":
            return None
        writer = Journal(self._journal.folder.parent / run.data.tags["start_event"].partition("/")[0])
        return None if writer.name != self._journal.name and writer.writer_is_alive() else run

    def _on_attach(self, events: list[Event]) -> None:
        (event,) = events
        number, digest = event["run"], event["model_digest"]
        home = self._journal.folder.parent.parent
        run = self._store.find_run(
            self._experiment, {"model_digest": digest, "origin": origin(home)}
        ) or self._store.find_run(self._experiment, {"model_digest": digest})
        self._progress.runs[number] = run.info.run_id if run else None
        for model in self._store.logged_models_of(run, digest) if run else []:
            self._progress.models[number] = model.model_id

    def _on_params(self, events: list[Event]) -> None:
        from mlflow.entities import Param

        (event,) = events
        if (run_id := self._run_id(event)) is None:
            return
        values = {_key(name): value for name, value in event["params"].items()}
        params = [Param(name, _shortened(value, _LONGEST_PARAM)) for name, value in values.items()]
        for start in range(0, len(params), _ENTITIES_AT_ONCE):
            self._store.client.log_batch(run_id, params=params[start : start + _ENTITIES_AT_ONCE])
        for name, value in values.items():
            if len(value) > _LONGEST_PARAM:
                self._store.client.log_text(run_id, value, f"params/{name}.txt")

    def _on_metrics(self, events: list[Event]) -> None:
        from mlflow.entities import Metric

        if (run_id := self._run_id(events[0])) is None:
            return
        model_id = self._progress.models.get(events[0]["run"])
        metrics = [
            Metric(_key(name), value, event["time"], event["step"], model_id=model_id)
            for event in events
            for name, value in event["metrics"].items()
        ]
        for start in range(0, len(metrics), 10 * _ENTITIES_AT_ONCE):
            self._store.client.log_batch(run_id, metrics=metrics[start : start + 10 * _ENTITIES_AT_ONCE])

    def _on_tags(self, events: list[Event]) -> None:
        (event,) = events
        if (run_id := self._run_id(event)) is not None:
            self._set_tags(run_id, event["tags"])

    def _on_dataset(self, events: list[Event]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        (event,) = events
        if (run_id := self._run_id(event)) is None:
            return
        profile = json.dumps(event["subset_sizes"])
        source = json.dumps({"digest": event["digest"]})
        short_digest = event["digest"][:_LONGEST_DATASET_DIGEST]
        dataset = Dataset(event["name"], short_digest, "dvc", source, profile=profile)
        context = InputTag("mlflow.data.context", "+".join(event["subset_sizes"]))
        self._store.client.log_inputs(run_id, datasets=[DatasetInput(dataset, [context])])
        self._set_tags(run_id, {"data_digest": event["digest"]})

    def _on_artifact(self, events: list[Event]) -> None:
        (event,) = events
        if (run_id := self._run_id(event)) is not None:
            path = self._journal.artifacts / event["file"]
            self._store.client.log_artifact(run_id, str(path), event["folder"] or None)

    def _on_model(self, events: list[Event]) -> None:
        (event,) = events
        if (run_id := self._run_id(event)) is None:
            return
        network, card = (self._journal.artifacts / file for file in event["files"])
        code = self._journal.artifacts / event["code"]
        self._progress.models[event["run"]] = log_model(
            self._store, run_id, event["digest"], network=network, card=card, code=code
        )
        self._set_tags(run_id, {"model_digest": event["digest"]})

    def _on_end(self, events: list[Event]) -> None:
        (event,) = events
        if self._run_id(event) is not None:
            self._end(event["run"], event["status"], event["time"])

    def _end(self, number: str, status: str, end_time: int) -> None:
        run_id = str(self._progress.runs[number])
        started = self._progress.started.get(number, end_time)
        self._store.client.log_metric(
            run_id, "duration_seconds", (end_time - started) / 1000, timestamp=end_time, step=0
        )
        self._store.client.set_terminated(run_id, status, end_time)
        self._progress.started.pop(number, None)

    def _kill_what_runs(self) -> None:
        """The stage is gone without an end for these runs: it was killed, and when is in its last line."""
        last = round(1000 * self._journal.events.stat().st_mtime)
        for number in list(self._progress.started):
            self._end(number, "KILLED", last)

    def _run_id(self, event: Event) -> str | None:
        return self._progress.runs.get(event["run"])

    def _set_tags(self, run_id: str, tags: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        values = [RunTag(_key(name), _shortened(value, _LONGEST_TAG)) for name, value in tags.items()]
        for start in range(0, len(values), _ENTITIES_AT_ONCE):
            self._store.client.log_batch(run_id, tags=values[start : start + _ENTITIES_AT_ONCE])


def _grouped(events: Iterator[tuple[Event, int]]) -> Iterator[tuple[list[Event], int]]:
    """Metrics of one run that follow each other together, every other event by itself."""
    group: list[Event] = []
    end = 0
    for event, offset in events:
        joins = group and event["event"] == group[0]["event"] == "metrics" and event["run"] == group[0]["run"]
        if group and (not joins or len(group) == _METRIC_EVENTS_AT_ONCE):
            yield group, end
            group = []
        group.append(event)
        end = offset
    if group:
        yield group, end


def _key(name: str) -> str:
    """A name with only the characters that MLflow allows in names."""
    allowed = "".join(c if c.isalnum() or c in "_-. :/" else "_" for c in name)
    return allowed[:_LONGEST_KEY]


def _shortened(value: str, longest: int) -> str:
    return value if len(value) <= longest else value[: longest - 1] + "…"


def main(home: Path, name: str) -> None:
    """Deliver the journal called `name` of the project folder `home` until its stage has ended."""
    os.nice(_NICENESS)  # the stage has the right of way
    workspace = Workspace(root=home, home=home)
    follow(workspace, Journal(workspace.journal / name))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
