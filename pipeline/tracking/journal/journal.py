"""The journal: what one stage process recorded, on its way to MLflow.

A journal is a folder `<home>/.journal/<time>-<stage>-<process>/` with

- `events.jsonl`: one JSON object per line, only ever appended to. The first is `open`; `close` is
  the last one of a stage that ended by itself,
- `artifacts/`: copies of the files that events speak of,
- `writer.lock`: locked for as long as the stage process lives, however it dies,
- `delivery.lock`: locked by the one process that delivers this journal,
- `delivery.json`: how far delivery has come (`Progress`),
- `delivery.log`: what the delivering process had to say.

A journal that was delivered whole is deleted. Names sort by time: older journals are delivered
first, since later ones may continue their runs or evaluate their models.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.foundation.files import write_json

Event = dict[str, Any]


@dataclass(frozen=True)
class Journal:
    """One journal, by its folder."""

    folder: Path

    @property
    def events(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    @property
    def log(self) -> Path:
        return self.folder / "delivery.log"

    @property
    def exists(self) -> bool:
        return self.events.is_file()

    @property
    def name(self) -> str:
        return self.folder.name

    def delivery_lock(self) -> FileLock:
        return FileLock(self.folder / "delivery.lock", thread_local=False)

    def writer_is_alive(self) -> bool:
        """Whether the stage process that writes this journal still runs."""
        try:
            with (self.folder / "writer.lock").open("rb") as file:
                # Shared: who asks must not look like a writer to somebody else who asks.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False  # delivered and deleted meanwhile
        return False

    def read(self, offset: int) -> Iterator[tuple[Event, int]]:
        """The whole lines from a byte offset on, each with the offset that follows it.

        A line that is not JSON (the disk was full, the power failed) is skipped.
        """
        with self.events.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # still being written
                offset += len(line)
                with suppress(ValueError):
                    yield json.loads(line), offset

    def waiting_runs(self) -> set[str]:
        """Keys of the runs of which something is not delivered yet."""
        with suppress(OSError):
            keys: dict[str, str] = {}
            waiting: set[str] = set()
            delivered = Progress.load(self).offset
            for event, end in self.read(0):
                if event["event"] in ("start", "attach"):
                    keys[event["run"]] = event.get("key") or event["model_digest"]
                if end > delivered and event.get("run") in keys:
                    waiting.add(keys[event["run"]])
            return waiting
        return set()

    def remove(self) -> None:
        """Delete the folder; never seen half deleted, as names with a leading dot are not journals."""
        gone = self.folder.with_name(f".{self.name}")
        with suppress(OSError):
            self.folder.replace(gone)
        shutil.rmtree(gone, ignore_errors=True)


@dataclass
class Progress:
    """How far the delivery of a journal has come; saved after every event.

    Attributes:
      offset: bytes of `events.jsonl` that MLflow has acknowledged.
      store: digest of the address of the store that has them; another store gets all from the start.
      runs: MLflow run id by the journal's number of the run; null where nothing is to be delivered.
      models: id of the logged model by the journal's number of the run.
      recorded: numbers of the runs that the stage has recorded; others it has only added to.
      started: start of a run, milliseconds since 1970; gone when it has ended.
      parent: MLflow run id of the parent of the journal's runs; empty where they have none.
      unreachable: why the store could not be reached at the last attempt; empty when it could.
    """

    offset: int = 0
    store: str = ""
    runs: dict[str, str | None] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    recorded: list[str] = field(default_factory=list)
    started: dict[str, int] = field(default_factory=dict)
    parent: str = ""
    unreachable: str = ""

    @classmethod
    def load(cls, journal: Journal) -> "Progress":
        try:
            return cls(**json.loads((journal.folder / "delivery.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return cls()

    def save(self, journal: Journal) -> None:
        write_json(journal.folder / "delivery.json", asdict(self))


def pending_journals(folder: Path) -> list[Journal]:
    """All journals in `folder`, oldest first, those still being written included."""
    if not folder.is_dir():
        return []
    journals = [Journal(path) for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    return [journal for journal in journals if journal.exists]


def runs_waiting(folder: Path) -> int:
    """How many runs have something in `folder` that MLflow does not have yet."""
    return len(set().union(*(journal.waiting_runs() for journal in pending_journals(folder))))


class JournalWriter:
    """Appends to a new journal; holds its writer lock until `close` or the death of the process."""

    def __init__(
        self,
        folder: Path,
        stage: str,
        experiment: str,
        parent: Mapping[str, Any] | None = None,
        *,
        hidden: bool = False,
    ) -> None:
        """Make a journal in `folder`.

        Args:
          folder: `<home>/.journal`.
          stage: who writes it.
          experiment: MLflow's name for the project.
          parent: the run that stands above the journal's runs (`ParentRun`).
          hidden: whether nobody shall see it before `reveal`; otherwise it is seen at once.
        """
        self._name = f"{time.time_ns():020d}-{stage}-{os.getpid()}"
        # It appears under its name when it is locked already, or it could be taken for an orphan.
        self.journal = Journal(folder / f".{self._name}")
        self.journal.artifacts.mkdir(parents=True)
        self._lock = (self.journal.folder / "writer.lock").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._torn = False
        self._copies = 0
        self._file = self.journal.events.open("ab", buffering=0)
        self.append({"event": "open", "stage": stage, "experiment": experiment, "parent": parent})
        if not hidden:
            self.reveal()

    def reveal(self) -> None:
        """Give the journal its name, under which it is found and delivered."""
        revealed = Journal(self.journal.folder.with_name(self._name))
        self.journal.folder.replace(revealed.folder)
        self.journal = revealed

    def append(self, event: Mapping[str, Any]) -> None:
        """Add an event, with the time in milliseconds since 1970 unless it brings its own."""
        line = json.dumps({"time": time.time_ns() // 1_000_000, **event}).encode() + b"\n"
        if self._torn:
            line = b"\n" + line
        self._torn = True
        written = self._file.write(line)
        self._torn = written != len(line)

    def copy(self, source: Path, name: str = "") -> str:
        """Copy a file or folder into the journal; returns its path below `artifacts/`."""
        target = self._new_path(name or source.name)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
        return self._stored(target)

    def write_text(self, text: str, name: str) -> str:
        """Write a text file into the journal; returns its path below `artifacts/`."""
        target = self._new_path(name)
        target.write_text(text, encoding="utf-8", newline="\n")
        return self._stored(target)

    def close(self) -> None:
        """The stage has ended by itself."""
        try:
            self.append({"event": "close"})
        finally:
            self._file.close()
            self._lock.close()

    def _new_path(self, name: str) -> Path:
        self._copies += 1
        target = self.journal.artifacts / str(self._copies) / name
        target.parent.mkdir(parents=True)
        return target

    def _stored(self, path: Path) -> str:
        return path.relative_to(self.journal.artifacts).as_posix()
