"""Brings MLflow up to date: delivers what waits and ends what no process is recording any more."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.foundation.workspace import Workspace
from pipeline.tracking import tags
from pipeline.tracking.journal.delivery import REJECTED, deliver
from pipeline.tracking.journal.journal import Journal, pending_journals, runs_waiting
from pipeline.tracking.own_database import surely_nothing_runs
from pipeline.tracking.provenance import origin
from pipeline.tracking.store import Store, StoreUnavailableError

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class Synchronization:
    """What a synchronization has done.

    Attributes:
      delivered: runs whose records were delivered.
      killed: runs that nobody was recording any more and that are KILLED now.
      tagged: runs tagged with what DVC keeps of them: an experiment's commit, the hash of a result.
      restored: runs made of results that DVC took from its run cache.
      gone: what of these could not be made, as DVC does not have the files any more.
      recording: stages that run at this moment and deliver by themselves.
      waiting: runs that still wait in the journal.
      refused: whether there are records that MLflow has refused for good.
      unreachable: why MLflow could not be reached; empty when it could.
    """

    delivered: int = 0
    killed: int = 0
    tagged: int = 0
    restored: int = 0
    gone: tuple[str, ...] = ()
    recording: int = 0
    waiting: int = 0
    refused: bool = False
    unreachable: str = ""

    def lines(self) -> list[str]:
        """What there is to tell a person."""
        lines = []
        if self.delivered:
            lines.append(f"MLflow has received {_runs(self.delivered)}.")
        if self.killed:
            lines.append(f"{_runs(self.killed)} without a process marked KILLED.")
        if self.tagged:
            lines.append(f"{_runs(self.tagged)} tagged with DVC's commits and hashes.")
        if self.restored:
            lines.append(f"{_runs(self.restored)} restored: DVC had the results, and nothing was executed.")
        if self.gone:
            lines.append(f"Not restored, as DVC does not have the files any more: {', '.join(self.gone)}.")
        if self.recording:
            lines.append(f"{self.recording} of the stages that run now deliver by themselves.")
        if self.refused:
            lines.append(
                f"MLflow has refused some records: see .journal/{REJECTED}, and delete it when read."
            )
        if self.unreachable and self.waiting:
            lines.append(
                f"MLflow does not have everything yet ({self.unreachable}): {_runs(self.waiting)} waiting."
            )
        elif self.unreachable:
            lines.append(f"MLflow could not be reached ({self.unreachable}).")
        elif not lines:
            lines.append("MLflow is up to date.")
        return lines


def synchronize(store: Store, experiment: str, say: Callable[[str], None]) -> Synchronization:
    """Deliver all journals of stages that have ended, oldest first, then end orphaned runs.

    `say` is told what takes time. Repeated at once, it finds nothing left to do.
    """
    workspace = store.workspace
    journals = pending_journals(workspace.journal)
    done = Synchronization(refused=has_refusals(workspace))
    if not journals and surely_nothing_runs(workspace):
        return done
    recording = [journal for journal in journals if journal.writer_is_alive()]
    done = replace(done, recording=len(recording))
    try:
        for journal in journals:
            if journal in recording:
                continue
            count = len(journal.waiting_runs())
            say(f"delivering {_runs(count)} to MLflow: {journal.name}")
            if deliver(journal, store):
                done = replace(done, delivered=done.delivered + count)
        done = replace(done, killed=_kill_orphans(store, experiment))
    except StoreUnavailableError as error:
        done = replace(done, waiting=runs_waiting(workspace.journal), unreachable=error.reason)
    else:
        _remove_remains(workspace)
    return replace(done, refused=has_refusals(workspace))


def _kill_orphans(store: Store, experiment: str) -> int:
    """End the RUNNING runs of this project folder that belong to no journal any more."""
    workspace = store.workspace
    wanted = {tags.ORIGIN: origin(workspace.home)}
    with store.failures_as_unavailable():
        orphans = [
            run
            for run in store.find_runs(experiment, wanted, status="RUNNING")
            if not Journal(workspace.journal / _journal_of(run)).exists
            # A journal that ended meanwhile has ended its runs before it went away.
            and _is_still_the_same(run, store.client.get_run(run.info.run_id))
        ]
        for run in orphans:
            store.client.set_terminated(run.info.run_id, "KILLED")
    # A parent is killed with its child, and is nothing that has run by itself.
    return sum(run.data.tags.get(tags.KIND) != tags.KIND_EXPERIMENT for run in orphans)


def _journal_of(run: "Run") -> str:
    """Name of the journal that recorded the run, or the latest one below it."""
    return str(run.data.tags.get(tags.START_EVENT, "")).partition("/")[0]


def _is_still_the_same(run: "Run", now: "Run") -> bool:
    return now.info.status == "RUNNING" and _journal_of(now) == _journal_of(run)


def has_refusals(workspace: Workspace) -> bool:
    """Whether there are records that MLflow has refused for good."""
    return (workspace.journal / REJECTED).exists()


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _remove_remains(workspace: Workspace) -> None:
    """Folders of journals whose deletion was cut short."""
    for path in workspace.journal.glob(".*-*"):
        if path.is_dir() and not Journal(path).writer_is_alive():
            shutil.rmtree(path, ignore_errors=True)
