"""`python -m pipeline sync`; all commands that list, compare or change runs and versions begin with it."""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.commands.terminal import say
from pipeline.foundation.digests import digest_json
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import require_writable, write_json
from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.params.whole import load_params
from pipeline.processes.child_process import Say
from pipeline.processes.locks import held
from pipeline.recording.restoring import restore
from pipeline.repository.repository import Experiment, Repository
from pipeline.repository.stage_outputs import (
    CardValues,
    StageOutputs,
    outputs_in_working_tree,
    outputs_of_commit,
)
from pipeline.tracking.journal.delivery import deliver
from pipeline.tracking.journal.journal import pending_journals
from pipeline.tracking.own_database import runs_fingerprint, surely_nothing_runs
from pipeline.tracking.provenance import origin
from pipeline.tracking.runs.matching import Matched, RunMatcher
from pipeline.tracking.store import (
    Store,
    StoreUnavailableError,
    store_address,
)
from pipeline.tracking.synchronization import Synchronization, has_refusals, synchronize

_MANY_EXPERIMENTS = 5
"""From here on it takes seconds to look at them, and a person wants to know why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> None:
    """Bring MLflow up to date.

    Deliver what waits in the journal, end the runs of processes that are gone, tag runs with the
    commits of their DVC experiments, and record what DVC took from its run cache.
    """
    require_writable(workspace.home)
    unreachable = bring_up_to_date(workspace, store, say)
    if unreachable:
        raise PipelineError(
            f"MLflow does not have everything yet: {unreachable}.",
            remedy="start the server, or unset MLFLOW_TRACKING_URI to use mlflow.db; then sync again",
        )


def bring_up_to_date(workspace: Workspace, store: Store, say: Say) -> str:
    """Bring MLflow up to date and say what that did; returns why it could not be reached, or nothing.

    Delivers what waits, ends the runs of processes that are gone, tags runs with what DVC keeps of
    them, and records results that DVC took from its run cache. Repeated at once, it does nothing,
    and takes no longer than to see that nothing has changed.
    """
    experiment = load_params(workspace.params).tracking.experiment
    if not workspace.is_writable():
        if pending_journals(workspace.journal):
            say("this folder is read-only: MLflow may lack what waits here to be delivered")
        return ""
    if _Memory.load(workspace).is_up_to_date(workspace):
        done = Synchronization(refused=has_refusals(workspace))
    else:
        with _alone(workspace, say):
            done = _synchronize(workspace, store, experiment, say)
    for line in done.lines():
        say(line)
    return done.unreachable


def _synchronize(workspace: Workspace, store: Store, experiment: str, say: Say) -> Synchronization:
    # Looked at before the journals are: a result that is there by now has been recorded in one of them.
    project = _project_digest(workspace)
    repository = Repository(workspace.root)
    experiments, tree = repository.experiments(), outputs_in_working_tree(workspace, repository)
    done = synchronize(store, experiment, say)
    if done.unreachable:
        return done
    memory = replace(_Memory.load(workspace), project=project)
    if experiments or any(map(tree.card, CANDIDATES)):
        try:
            repair = _Repair(workspace, experiment, repository, store, say)
            memory = repair.compare_experiments(experiments, memory)
            if not done.recording:  # else its files may be those of a stage that runs
                repair.compare_working_tree(tree)
        except StoreUnavailableError as error:
            return replace(done, unreachable=error.reason)
        done = replace(done, tagged=repair.tagged, restored=repair.restored, gone=tuple(repair.gone))
    # While stages run there is always something to do; what is dealt with is remembered all the same.
    memory = replace(memory, project="") if done.recording else memory
    replace(memory, content=runs_fingerprint(workspace)).save(workspace)
    return done


@contextmanager
def _alone(workspace: Workspace, say: Say) -> Iterator[None]:
    """Two at once would both restore the same runs."""
    workspace.journal.mkdir(parents=True, exist_ok=True)
    waiting = "another sync is at work; waiting for it to end"
    with held(workspace.journal / ".sync.lock", waiting, say):
        yield


class _Repair:
    """Compares the store with what DVC keeps, and counts what had to be changed in the store."""

    def __init__(
        self, workspace: Workspace, experiment: str, repository: Repository, store: Store, say: Say
    ) -> None:
        self.tagged = self.restored = 0
        self.gone: list[str] = []
        self._workspace = workspace
        self._experiment = experiment
        self._repository = repository
        self._store = store
        self._say = say
        self._matcher = RunMatcher(store, experiment, repository, origin(workspace.home))

    def compare_experiments(self, experiments: list[Experiment], memory: "_Memory") -> "_Memory":
        """Look at the experiments that were not looked at yet; returns what to remember of them."""
        with self._store.failures_as_unavailable():
            identity = self._store.identity(self._experiment)
        seen = set(memory.experiments) if memory.store == identity else set()
        new = [experiment for experiment in experiments if experiment.commit not in seen]
        if len(new) >= _MANY_EXPERIMENTS:
            self._say(f"comparing MLflow with {len(new)} experiments of DVC")
        cards: dict[tuple[str, str], CardValues | None] = {}
        complete = {experiment.commit for experiment in experiments if experiment not in new}
        for experiment in new:
            with TemporaryDirectory() as scratch:
                outputs = outputs_of_commit(
                    self._workspace, self._repository, experiment, Path(scratch), cards
                )
                with self._store.failures_as_unavailable():
                    matched = self._matcher.match_experiment(outputs)
                if self._apply(outputs, matched):
                    complete.add(experiment.commit)
        return replace(memory, store=identity, experiments=sorted(complete))

    def compare_working_tree(self, outputs: StageOutputs) -> None:
        with self._store.failures_as_unavailable():
            matched = self._matcher.match_working_tree(outputs)
        self._apply(outputs, matched)

    def _apply(self, outputs: StageOutputs, matched: Matched) -> bool:
        """Restore the runs that are missing; whether that was possible."""
        self.tagged += matched.tagged
        if not matched.missing:
            return True
        place = f"experiment {outputs.experiment}" if outputs.experiment else "the working tree"
        stages = ", ".join(each.stage for each in matched.missing)
        self._say(f"restoring runs of {place} from what DVC keeps: {stages}")
        restored = restore(outputs, matched.missing, self._experiment, self._repository)
        if restored.journal is not None:
            deliver(restored.journal, self._store)
        self.restored += restored.runs
        self.gone += [f"{name} of {place}" for name in restored.failed]
        return not restored.failed


@dataclass(frozen=True)
class _Memory:
    """What the last complete synchronization has seen, so that the next one need not look again.

    Attributes:
      project: digest of what it depends on in the project folder.
      content: fingerprint of the project's own database after it.
      store: which store it was.
      experiments: commits of the experiments that are dealt with.
    """

    project: str = ""
    content: list[int | None] = field(default_factory=list)
    store: str = ""
    experiments: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, workspace: Workspace) -> "_Memory":
        try:
            return cls(**json.loads(_memory_file(workspace).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return cls()

    def save(self, workspace: Workspace) -> None:
        write_json(_memory_file(workspace), asdict(self))

    def is_up_to_date(self, workspace: Workspace) -> bool:
        """Whether nothing is to be done, found out without MLflow and DVC. Of a server nobody knows."""
        return (
            surely_nothing_runs(workspace)
            and not pending_journals(workspace.journal)
            and self.content == runs_fingerprint(workspace)
            and self.project == _project_digest(workspace)
        )


def _memory_file(workspace: Workspace) -> Path:
    return workspace.journal / ".synchronized.json"


def _project_digest(workspace: Workspace) -> str:
    """Of everything in the project folder that decides what there is to do."""
    repository = Repository(workspace.root)
    outputs = [*map(workspace.model, CANDIDATES), workspace.predictions]
    return digest_json(
        {
            "store": store_address(workspace),
            "head": repository.head(),
            "experiments": [asdict(experiment) for experiment in repository.experiments()],
            "lock": repository.text(None, workspace.lock.name),
            "params": repository.text(None, workspace.params.name),
            "outputs": [path.exists() for path in outputs],
        }
    )
