"""What the stages have written: as it lies in the working tree, or as a commit holds it."""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.foundation.declarations import is_within, parse_values
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.params.whole import parse_params
from pipeline.repository.dvc_hash import dvc_hash
from pipeline.repository.repository import (
    Experiment,
    Lock,
    Repository,
    StageLock,
    parse_locked_outputs,
)

if TYPE_CHECKING:
    from pipeline.scoring.scores import Scores

SEARCH = "tune"
TRAININGS = {"train_baseline": "baseline", "train_transfer": "transfer", SEARCH: "tuned"}
"""The stages that train, with the candidates that they make."""
EVALUATION = "evaluate"

CardValues = Mapping[str, Any]
"""The content of models/<candidate>/card.json."""


@dataclass(frozen=True)
class StageOutputs:
    """The outputs of the stages at one point of the project's history.

    Attributes:
      workspace: the project, for the names of its files.
      experiment: name of the DVC experiment; empty for the working tree.
      baseline: the commit that the experiment started from; HEAD for the working tree.
      commit: the experiment's own commit; HEAD for the working tree; empty outside of git.
      time: when DVC has put the outputs there, milliseconds since 1970.
      params: the values of params.yaml.
      lock: dvc.lock.
      base: dvc.lock at the baseline.
      find: for a path of the workspace, an output or a file in one, where to read it; None where it is gone.
      cards: the model cards that were read, by candidate and DVC's hash; others may share them.
    """

    workspace: Workspace
    experiment: str
    baseline: str
    commit: str
    time: int
    params: Mapping[str, Any]
    lock: Lock
    base: Lock
    find: Callable[[Path], Path | None]
    cards: dict[tuple[str, str], CardValues | None] = field(default_factory=dict)

    @property
    def stages(self) -> list[str]:
        """The stages that record runs and have outputs here; evaluate only where it is of these models."""
        stages = [name for name in TRAININGS if name in self.lock.stages]
        return [*stages, EVALUATION] if self._models_are_evaluated() else stages

    @property
    def are_of_these_params(self) -> bool:
        """Whether params.yaml still says what the outputs were made with."""
        return all(
            dict(entry.params) == {key: self.params.get(key) for key in entry.params}
            for entry in self.lock.stages.values()
        )

    def params_of(self, stage: str) -> dict[str, Any]:
        """The params that a stage was told, as it has read them: in a fraction, 1 is 1.0."""
        told = self.lock.stages[stage].params
        try:
            values = parse_params({**self.params, **told}).model_dump(mode="json")
            return {key: values[key] for key in told}
        except (PipelineError, KeyError):
            return dict(told)  # those of an old commit may not fit any more

    def differs_from_baseline(self, stage: str) -> bool:
        return self.lock.outputs_of(stage) != self.base.outputs_of(stage)

    def main_hash(self, stage: str) -> str:
        """DVC's hash of what stands for all that a stage has made; empty where dvc.lock has none."""
        return main_hash(self.workspace, self.lock, stage)

    def hash_of(self, output: Path) -> str:
        """DVC's hash of an output, or of a folder of outputs; empty where dvc.lock has none."""
        return self.lock.hash_of(_name(self.workspace, output))

    def card(self, candidate: str) -> CardValues | None:
        """A candidate's model card; None where it is gone."""
        known_as = candidate, self.hash_of(self.workspace.model(candidate))
        # Most experiments share most models; reading one out of DVC's cache takes a tenth of a second.
        if known_as not in self.cards:
            self.cards[known_as] = self.read_json(self.workspace.card(candidate))
        return self.cards[known_as]

    @cached_property
    def scores(self) -> "dict[str, dict[str, Scores]] | None":
        """By candidate and subset; None where they are gone, or of other models or an older pipeline."""
        from pipeline.scoring.scores import load_scores  # NumPy, for which a sync without work need not wait

        file = self.find(self.workspace.scores) if self._models_are_evaluated() else None
        try:
            return None if file is None else load_scores(file)
        except (OSError, PipelineError):
            return None

    def _models_are_evaluated(self) -> bool:
        """Not so, for one, after `dvc repro train_baseline`: the scores are those of the former model."""
        if EVALUATION not in self.lock.stages:
            return False
        evaluated = self.lock.stages[EVALUATION].inputs
        made = self.lock.outputs
        for candidate in CANDIDATES:
            model = _name(self.workspace, self.workspace.model(candidate))
            read = [path for path in evaluated if is_within(path, model)]
            if not read and any(is_within(path, model) for path in made):
                return False
            if any(evaluated[path] != made.get(path) for path in read):
                return False
        return True

    def read_json(self, path: Path) -> Any:
        """The value in a JSON file; None where there is none."""
        file = self.find(path)
        try:
            return json.loads(file.read_bytes()) if file is not None else None
        except (OSError, ValueError):
            return None


def outputs_of_commit(
    workspace: Workspace,
    repository: Repository,
    experiment: Experiment,
    scratch: Path,
    cards: dict[tuple[str, str], CardValues | None],
) -> StageOutputs:
    """What an experiment's commit holds.

    Args:
      workspace: the project.
      repository: that of the project.
      experiment: its name and commits.
      scratch: a folder for copies of what is found; it has to last as long as they are read.
      cards: what other experiments have read.
    """
    commit = experiment.commit
    committed = repository.git("show", "--no-patch", "--format=%ct", commit)
    copies: dict[Path, Path | None] = {}

    def find(path: Path) -> Path | None:
        if path not in copies:
            # A folder for each: a file that was read alone is not a whole output.
            copy = Path(tempfile.mkdtemp(dir=scratch)) / path.name
            copied = repository.copy_output(commit, _name(workspace, path), copy)
            copies[path] = copy if copied else None
        return copies[path]

    return StageOutputs(
        workspace=workspace,
        experiment=experiment.name,
        baseline=experiment.baseline,
        commit=commit,
        time=1000 * int(committed or 0),
        params=parse_values(repository.text(commit, workspace.params.name) or ""),
        lock=repository.lock(commit),
        base=repository.lock(experiment.baseline),
        find=find,
        cards=cards,
    )


def outputs_in_working_tree(workspace: Workspace, repository: Repository) -> StageOutputs:
    """What lies in the working tree, as far as it is what dvc.lock says.

    A stage that runs at this moment has its outputs there already, or half of them, and dvc.lock still
    describes the former ones.
    """
    head = repository.head() or ""
    lock = repository.lock(None)
    sound: dict[str, bool] = {}

    def find(path: Path) -> Path | None:
        name = _name(workspace, path)
        concerned = [each for each in lock.outputs if is_within(name, each) or is_within(each, name)]
        for output in concerned:
            if output not in sound:
                try:
                    sound[output] = dvc_hash(workspace.root / output) == lock.outputs[output]
                except OSError:
                    sound[output] = False
        return path if concerned and all(sound[each] for each in concerned) and path.exists() else None

    return StageOutputs(
        workspace=workspace,
        experiment="",
        baseline=head,
        commit=head,
        time=round(1000 * workspace.lock.stat().st_mtime) if workspace.lock.exists() else 0,
        params=parse_values(repository.text(None, workspace.params.name) or ""),
        lock=lock,
        base=repository.lock(head) if head else Lock("", {}),
        find=find,
    )


def outputs_of_running_stage(workspace: Workspace, stage: str, params: Mapping[str, Any]) -> StageOutputs:
    """What lies in the working tree for a stage that has just ended, which dvc.lock does not say yet.

    The stage's entry there is that of its previous run; in its place stands what is known of this one.
    `params` are those that the stage declares.
    """
    repository = Repository(workspace.root)
    lock = parse_locked_outputs(repository.text(None, workspace.lock.name) or "")
    declared = repository.declarations(None).get(stage)
    entry = StageLock(
        inputs=lock.data_inputs(stage, declared.dependencies if declared else ()),
        params=params,
        outputs={},
        sizes={},
    )
    return StageOutputs(
        workspace=workspace,
        experiment="",
        baseline="",
        commit="",
        time=0,
        params=params,
        lock=Lock(lock.text, {**lock.stages, stage: entry}),
        base=Lock("", {}),
        find=lambda path: path if path.exists() else None,
    )


def main_hash(workspace: Workspace, lock: Lock, stage: str) -> str:
    """DVC's hash of the file that stands for all that a stage has made: the model's card, or the scores.

    Before outputs became files it was that of a folder, which runs of that time are tagged with.
    """
    if stage in TRAININGS:
        folder, file = workspace.model(TRAININGS[stage]), workspace.card(TRAININGS[stage])
    else:
        folder, file = workspace.predictions, workspace.scores
    return lock.outputs.get(_name(workspace, folder)) or lock.outputs.get(_name(workspace, file), "")


def _name(workspace: Workspace, path: Path) -> str:
    """A path as dvc.lock names it."""
    return path.relative_to(workspace.root).as_posix()
