"""Delivers journals to MLflow, live while a stage runs or later.

Run as a process (`python -m pipeline.tracking.journal.delivery <home> <journal>`) by the tracker of a stage;
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import Timeout

from pipeline.foundation.workspace import Workspace
from pipeline.tracking import tags as tag_names
from pipeline.tracking.journal.journal import Event, Journal, Progress, pending_journals
from pipeline.tracking.journal.parents import ParentRun, Parents
from pipeline.tracking.provenance import origin
from pipeline.tracking.redaction import without_credentials
from pipeline.tracking.store import Store, StoreUnavailableError, is_rejection, short_reason, valid_name

if TYPE_CHECKING:
    from mlflow.entities import Run

_POLL_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 30.0
_OTHER_DELIVERY_SECONDS = 60.0
_EVENT_SECONDS, _FILE_SECONDS = 60.0, 600.0
_METRIC_EVENTS_AT_ONCE = 200
_METRICS_AT_ONCE = 1000
_LONGEST_DATASET_DIGEST = 36
_NICENESS = 10

_DEFECTS = (AttributeError, FileNotFoundError, KeyError, TypeError, ValueError)
"""What an event itself can be the cause of; tried again, it would fail for ever."""

_TAGS_OF_EXPERIMENT = (tag_names.EXPERIMENT, tag_names.DVC_EXPERIMENT, tag_names.DVC_BASELINE)
"""What a run changes when it goes on in another experiment."""

REJECTED = "rejected.log"
"""Beside the journals: events that MLflow will never take, each with its reason."""


def deliver(journal: Journal, store: Store) -> bool:
    """Deliver what stands in a journal now; True when that was all and the journal is gone.

    Where another process is delivering it, wait for that one.

    Raises:
      StoreUnavailableError: MLflow could not be reached, or the other process is not done in time.
    """
    return _in_turn(journal, lambda: _Delivery(journal, store).catch_up())


def _in_turn(journal: Journal, work: Callable[[], bool]) -> bool:
    """Do `work` on a journal when no other process delivers it; True where nothing is left to be done."""
    try:
        with journal.delivery_lock().acquire(timeout=_OTHER_DELIVERY_SECONDS):
            if not journal.exists:
                journal.remove()  # the other process has delivered it whole; only our lock is there
                return True
            return work()
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


def follow(journal: Journal, store: Store) -> None:
    """Deliver a journal while it is written, until its stage has ended and all is delivered.

    Where MLflow cannot be reached it tries again, ever more rarely, and a last time when the stage
    has ended; the journal then stays. Where another process delivers it, such as that of a later
    stage, wait for that one and take over what it leaves: the stage believes a journal to be left
    behind when this process has ended.
    """
    try:
        _in_turn(journal, lambda: _follow(journal, store))
    except StoreUnavailableError as error:
        print(error.what, flush=True)


def _follow(journal: Journal, store: Store) -> bool:
    """Whether all is delivered; False where MLflow could not be reached a last time."""
    older = [each for each in pending_journals(store.workspace.journal) if each.name < journal.name]
    pause = _POLL_SECONDS
    while True:
        alive = journal.writer_is_alive()
        try:
            deliver_older(older, store)
            older = []
            if _Delivery(journal, store).catch_up():
                return True
            pause = _POLL_SECONDS
        except StoreUnavailableError as error:
            progress = Progress.load(journal)
            progress.unreachable = error.reason
            progress.save(journal)
            print(error.what, flush=True)
            if not alive:
                return False
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
        opening = next((event for event, _ in self._journal.read(0) if event["event"] == "open"), {})
        self._experiment: str = opening.get("experiment", "")
        self._parent = ParentRun(**opening["parent"]) if opening.get("parent") else None
        self._parents = Parents(store, self._experiment)

    def catch_up(self) -> bool:
        """Deliver what is there; True when nothing can follow any more. Raises StoreUnavailableError."""
        # Asked before reading: what the writer wrote before it died is then there to be read.
        alive = self._journal.writer_is_alive()
        with self._unavailable_when_unreachable():
            for events, offset in _grouped(self._journal.read(self._progress.offset)):
                self._deliver(events)
                self._progress.offset = offset
                self._progress.unreachable = ""
                self._progress.save(self._journal)
            if alive:
                return False
            with self._store.within(_EVENT_SECONDS):
                self._kill_what_runs()
        self._journal.remove()
        return True

    def _deliver(self, events: list[Event]) -> None:
        """Deliver one event, or several sets of metrics of one run; what MLflow refuses is put aside."""
        try:
            with self._store.within(_FILE_SECONDS if "file" in events[0] else _EVENT_SECONDS):
                getattr(self, "_on_" + events[0]["event"])(events)
        except Exception as error:
            if not is_rejection(error) and not isinstance(error, _DEFECTS):
                raise  # of the network or the disk: it may pass
            self._put_aside(events, error)

    def _put_aside(self, events: list[Event], error: Exception) -> None:
        trace = without_credentials(traceback.format_exc())
        record = {
            "journal": self._journal.name,
            "reason": short_reason(error),
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

    def _on_close(self, events: list[Event]) -> None:
        """The stage has ended by itself: what it has found out about the candidates is final."""
        (event,) = events
        for number in self._progress.recorded:
            run_id = self._progress.runs[number]
            run = self._store.client.get_run(run_id) if run_id and self._progress.parent else None
            if run and run.info.status == "FINISHED" and tag_names.BEST_CANDIDATE in run.data.tags:
                self._parents.show_best(self._progress.parent, run, event["time"])

    def _on_start(self, events: list[Event]) -> None:
        """Create a run, or continue the one with the same key."""
        (event,) = events
        number, key = event["run"], event["key"]
        identity = {tag_names.RUN_KEY: key, tag_names.START_EVENT: f"{self._journal.name}/{number}"}
        tags = {**event["tags"], **identity}
        known = self._store.find_run(self._experiment, identity)
        if known is None and event.get("restored") and self._was_restored(key):
            self._progress.runs[number] = None
            return
        above = self._run_above(event)
        if above:
            tags[tag_names.NESTED_IN] = above
        if self._parent is not None:
            tags[tag_names.EXPERIMENT] = self._parent.name
        if known is None and (known := self._former_run(key, above)):
            tags[tag_names.RESUMED] = str(int(known.data.tags.get(tag_names.RESUMED, "0")) + 1)
        if known is None:
            experiment_id = self._store.experiment_id(self._experiment)
            run = self._store.client.create_run(experiment_id, event["time"], tags, event["name"])
        else:
            run = known
            self._go_on(run, tags)
        self._progress.runs[number] = run.info.run_id
        self._progress.recorded = sorted({*self._progress.recorded, number}, key=int)
        if not event.get("restored"):
            spent = run.data.metrics.get("duration_seconds", 0.0)
            self._progress.started[number] = event["time"] - round(1000 * spent)
        self._settle_parent()

    def _run_above(self, event: Event) -> str | None:
        """Id of the run that a run is nested in: a search for a trial, else the parent of all."""
        if event["parent"] is not None:
            return self._progress.runs.get(event["parent"])
        if self._parent is None:
            return None
        self._progress.parent = self._parents.ensure(self._parent, event["time"])
        return self._progress.parent

    def _was_restored(self, key: str) -> bool:
        """Whether there is such a run already; one that somebody has deleted is not made again."""
        return bool(self._store.find_runs(self._experiment, {tag_names.RUN_KEY: key}, deleted_too=True))

    def _go_on(self, run: "Run", tags: dict[str, str]) -> None:
        """Let a run that was killed go on, maybe in another experiment than it began in."""
        run_id, former = run.info.run_id, run.data.tags
        moved = former.get(tag_names.NESTED_IN) != tags.get(tag_names.NESTED_IN)
        for trial in self._store.children_of(self._experiment, run_id) if moved else []:
            self._replace_tags(trial, {name: tags[name] for name in _TAGS_OF_EXPERIMENT if name in tags})
        self._replace_tags(run, tags)
        self._store.client.update_run(run_id, status="RUNNING")
        if moved and tag_names.NESTED_IN in former:
            self._parents.settle(former[tag_names.NESTED_IN])

    def _replace_tags(self, run: "Run", tags: dict[str, str]) -> None:
        """Set tags, and remove those of the former experiment or failure that are not among them."""
        for name in (*_TAGS_OF_EXPERIMENT, tag_names.FAILURE):
            if name in run.data.tags and name not in tags:
                self._store.client.delete_tag(run.info.run_id, name)
        self._store.set_tags(run.info.run_id, tags)

    def _settle_parent(self) -> None:
        if self._progress.parent:
            self._parents.settle(self._progress.parent)

    def _former_run(self, key: str, above: str | None) -> "Run | None":
        """The latest run with this key, unless another process is recording it.

        One that has finished is continued in the same place alone: its stage was killed before DVC took note.
        """
        home = self._journal.folder.parent.parent
        run = self._store.find_run(self._experiment, {tag_names.RUN_KEY: key, tag_names.ORIGIN: origin(home)})
        if run is None:
            return None
        if run.info.status == "FINISHED" and run.data.tags.get(tag_names.NESTED_IN) != above:
            return None
        journal = run.data.tags[tag_names.START_EVENT].partition("/")[0]
        writer = Journal(self._journal.folder.parent / journal)
        return None if writer.name != self._journal.name and writer.writer_is_alive() else run

    def _on_attach(self, events: list[Event]) -> None:
        (event,) = events
        number, digest = event["run"], event["model_digest"]
        run = self._training_of(digest)
        self._progress.runs[number] = run.info.run_id if run else None
        for model in self._store.logged_models_of(run, digest) if run else []:
            self._progress.models[number] = model.model_id

    def _training_of(self, digest: str) -> "Run | None":
        """The latest run that trained a model: in this experiment, else in this folder, else anywhere."""
        home = self._journal.folder.parent.parent
        wanted = {tag_names.MODEL_DIGEST: digest}
        places = [{tag_names.ORIGIN: origin(home)}, {}]
        if self._progress.parent:
            places.insert(0, {tag_names.NESTED_IN: self._progress.parent})
        found = (self._store.find_run(self._experiment, wanted | place) for place in places)
        return next(filter(None, found), None)

    def _on_params(self, events: list[Event]) -> None:
        (event,) = events
        if (run_id := self._run_id(event)) is not None:
            self._store.log_params(run_id, event["params"])

    def _on_metrics(self, events: list[Event]) -> None:
        from mlflow.entities import Metric

        if (run_id := self._run_id(events[0])) is None:
            return
        model_id = self._progress.models.get(events[0]["run"])
        metrics = [
            Metric(valid_name(name), value, event["time"], event["step"], model_id=model_id)
            for event in events
            for name, value in event["metrics"].items()
        ]
        for start in range(0, len(metrics), _METRICS_AT_ONCE):
            self._store.client.log_batch(run_id, metrics=metrics[start : start + _METRICS_AT_ONCE])

    def _on_tags(self, events: list[Event]) -> None:
        (event,) = events
        if (run_id := self._run_id(event)) is not None:
            self._store.set_tags(run_id, event["tags"])

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
        self._store.set_tags(run_id, {tag_names.DATA_DIGEST: event["digest"]})

    def _on_artifact(self, events: list[Event]) -> None:
        (event,) = events
        if (run_id := self._run_id(event)) is not None:
            path = self._journal.artifacts / event["file"]
            self._store.client.log_artifact(run_id, str(path), event["folder"] or None)

    def _on_model(self, events: list[Event]) -> None:
        # Brings NumPy and Pillow along, for which a `sync` with nothing to do should not have to wait.
        from pipeline.tracking.journal.logged_model import log_model

        (event,) = events
        if (run_id := self._run_id(event)) is None:
            return
        files = {name: self._journal.artifacts / file for name, file in event["files"].items()}
        self._progress.models[event["run"]] = log_model(self._store, run_id, event["digest"], **files)
        self._store.set_tags(run_id, {tag_names.MODEL_DIGEST: event["digest"]})

    def _on_end(self, events: list[Event]) -> None:
        (event,) = events
        if self._run_id(event) is not None:
            self._end(event["run"], event["status"], event["time"])

    def _end(self, number: str, status: str, end_time: int) -> None:
        run_id = str(self._progress.runs[number])
        if (started := self._progress.started.get(number)) is not None:
            duration = (end_time - started) / 1000
            self._store.client.log_metric(run_id, "duration_seconds", duration, timestamp=end_time, step=0)
        self._store.client.set_terminated(run_id, status, end_time)
        self._progress.started.pop(number, None)
        self._settle_parent()

    def _on_fail(self, events: list[Event]) -> None:
        """The runs have ended, but what they have recorded does not count."""
        (event,) = events
        for number in self._progress.recorded:
            run = self._store.client.get_run(str(self._progress.runs[number]))
            self._store.set_tags(run.info.run_id, {tag_names.FAILURE: event["reason"]})
            if run.info.status == "FINISHED":
                self._store.client.set_terminated(run.info.run_id, "FAILED", run.info.end_time)
        self._settle_parent()

    def _kill_what_runs(self) -> None:
        """The stage is gone without an end for these runs: it was killed, and when is in its last line."""
        last = round(1000 * self._journal.events.stat().st_mtime)
        for number in list(self._progress.started):
            self._end(number, "KILLED", last)

    def _run_id(self, event: Event) -> str | None:
        return self._progress.runs.get(event["run"])


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


def main(home: Path, name: str) -> None:
    """Deliver the journal called `name` of the project folder `home` until its stage has ended."""
    os.nice(_NICENESS)  # the stage has the right of way
    workspace = Workspace(root=home, home=home)
    with Store(workspace) as store:
        follow(Journal(workspace.journal / name), store)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
