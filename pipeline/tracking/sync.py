"""Brings MLflow up to date: delivers what waits and ends what no process is recording any more."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.foundation.workspace import Workspace
from pipeline.tracking.delivery import REJECTED, deliver
from pipeline.tracking.journal import Journal, pending_journals, runs_waiting
from pipeline.tracking.provenance import origin
from pipeline.tracking.store import Store, StoreUnavailableError, surely_nothing_runs


@dataclass(frozen=True)
class Synchronization:
    """What `synchronize` has done.

    Attributes:
      delivered: runs whose records were delivered.
      killed: runs that nobody was recording any more and that are KILLED now.
      recording: stages that run at this moment and deliver by themselves.
      waiting: runs that still wait in the journal.
      refused: whether there are records that MLflow has refused for good.
      unreachable: why MLflow could not be reached; empty when it could.
    """

    delivered: int = 0
    killed: int = 0
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


def synchronize(workspace: Workspace, experiment: str, say: Callable[[str], None]) -> Synchronization:
    """Deliver all journals of stages that have ended, oldest first, then end orphaned runs.

    `say` is told what takes time. Repeated at once, it finds nothing left to do.
    """
    journals = pending_journals(workspace.journal)
    if not journals and surely_nothing_runs(workspace):
        return Synchronization(refused=_refused(workspace))
    recording = [journal for journal in journals if journal.writer_is_alive()]
    ended = [journal for journal in journals if journal not in recording]
    delivered = killed = 0
    try:
        store = Store(workspace)
        for journal in ended:
            count = len(journal.waiting_runs())
            say(f"delivering {_runs(count)} to MLflow: {journal.name}")
            if deliver(journal, store):
                delivered += count
        killed = _kill_orphans(workspace, experiment, store, recording)
    except StoreUnavailableError as error:
        waiting = runs_waiting(workspace.journal)
        return Synchronization(delivered, killed, len(recording), waiting, _refused(workspace), str(error))
    _remove_remains(workspace)
    return Synchronization(delivered, killed, len(recording), refused=_refused(workspace))


def _kill_orphans(workspace: Workspace, experiment: str, store: Store, recording: list[Journal]) -> int:
    """End the RUNNING runs of this project folder that belong to no journal any more."""
    names = {journal.name for journal in recording}
    try:
        running = store.find_runs(experiment, {"origin": origin(workspace.home)}, status="RUNNING")
        orphans = [run for run in running if run.data.tags["start_event"].partition("/")[0] not in names]
        for run in orphans:
            store.client.set_terminated(run.info.run_id, "KILLED")
    except Exception as error:
        raise StoreUnavailableError(store.why(error)) from error
    return len(orphans)


def _refused(workspace: Workspace) -> bool:
    return (workspace.journal / REJECTED).exists()


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _remove_remains(workspace: Workspace) -> None:
    """Folders of journals whose deletion was cut short."""
    for path in workspace.journal.glob(".*-*"):
        if path.is_dir() and not Journal(path).writer_is_alive():
            shutil.rmtree(path, ignore_errors=True)
