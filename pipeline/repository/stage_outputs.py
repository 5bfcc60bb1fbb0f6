"""What the stages have written: as a DVC experiment's commit holds it, or as it lies in the working tree."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.foundation.declarations import parse_values
from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.repository.dvc_hash import dvc_hash
from pipeline.repository.repository import Experiment, Lock, Repository

TRAININGS = {"train_baseline": "baseline", "train_transfer": "transfer", "tune": "tuned"}
"""The stages that train, with the candidates that they make."""
EVALUATION = "evaluate"

Card = Mapping[str, Any]
"""The content of models/<candidate>/card.json."""
Scores = Mapping[str, Mapping[str, Mapping[str, float]]]
"""The content of metrics/evaluate.json: {candidate: {subset: {score: value}}}."""


@dataclass(frozen=True)
class Results:
    """The results of the stages at one point of the project's history.

    Attributes:
      workspace: the project, for the names of its files.
      experiment: name of the DVC experiment; empty for the working tree.
      baseline: the commit that the experiment started from; HEAD for the working tree.
      commit: the experiment's own commit; HEAD for the working tree; empty outside of git.
      time: when DVC has put the results there, milliseconds since 1970.
      params: the values of params.yaml.
      lock: dvc.lock.
      base: dvc.lock at the baseline.
      read: returns a file by its path in the project; None where it is not to be had.
      cards: the model cards that were read, by DVC's hash of their folders; others may share them.
    """

    workspace: Workspace
    experiment: str
    baseline: str
    commit: str
    time: int
    params: Mapping[str, Any]
    lock: Lock
    base: Lock
    read: Callable[[str], bytes | None]
    cards: dict[str, Card | None] = field(default_factory=dict)

    @property
    def stages(self) -> list[str]:
        """The stages that record runs and have results here; evaluate only where it is of these models."""
        stages = [name for name in TRAININGS if name in self.lock.stages]
        return [*stages, EVALUATION] if self._models_are_evaluated() else stages

    @property
    def are_of_these_params(self) -> bool:
        """Whether params.yaml still says what the results were made with."""
        return all(
            dict(entry.params) == {key: self.params.get(key) for key in entry.params}
            for entry in self.lock.stages.values()
        )

    def differs_from_baseline(self, stage: str) -> bool:
        return self.lock.stages[stage].outputs != outputs_of(self.base, stage)

    def path(self, absolute: Path) -> str:
        """A path of the workspace as dvc.lock names it."""
        return absolute.relative_to(self.workspace.root).as_posix()

    def main_output(self, stage: str) -> str:
        """The path that stands for what a stage has made: the trained model, or the predictions."""
        if stage in TRAININGS:
            return self.path(self.workspace.model(TRAININGS[stage]))
        return self.path(self.workspace.predictions)

    def main_hash(self, stage: str) -> str:
        """DVC's hash of `main_output`; empty where dvc.lock has none."""
        return self.lock.stages[stage].outputs.get(self.main_output(stage), "")

    def card(self, candidate: str) -> Card | None:
        """A candidate's model card; None where it is not to be had."""
        output = self.path(self.workspace.model(candidate))
        known_as = self.lock.outputs.get(output)
        if known_as is None:
            return None
        # Most experiments share most models; reading one out of DVC's cache takes a tenth of a second.
        if known_as not in self.cards:
            self.cards[known_as] = self.read_json(f"{output}/card.json")
        return self.cards[known_as]

    @cached_property
    def scores(self) -> Scores | None:
        """The scores of the candidates; None where they are missing, or of other models than these."""
        return self.read_json(self.path(self.workspace.scores)) if self._models_are_evaluated() else None

    def _models_are_evaluated(self) -> bool:
        """Not so, for one, after `dvc repro train_baseline`: the scores are those of the former model."""
        if EVALUATION not in self.lock.stages:
            return False
        evaluated = self.lock.stages[EVALUATION].inputs
        models = [self.path(self.workspace.model(candidate)) for candidate in CANDIDATES]
        return all(evaluated.get(model) == self.lock.outputs.get(model) for model in models)

    def copy(self, path: str, folder: Path) -> Path | None:
        """A copy of a file, at the same place below `folder`; None where it is not to be had."""
        copy = folder / path
        if not copy.exists():
            content = self.read(path)
            if content is None:
                return None
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
        return copy

    def read_json(self, path: str) -> Any:
        """The value in a JSON file; None where there is none."""
        try:
            return json.loads(self.read(path) or b"null")
        except ValueError:
            return None


def flat_scores(scores: Scores, candidate: str) -> dict[str, float]:
    """A candidate's scores as runs carry them: `<subset>_<score>`."""
    return {
        f"{subset}_{name}": float(value)
        for subset, values in scores[candidate].items()
        for name, value in values.items()
    }


def outputs_of(lock: Lock, stage: str) -> Mapping[str, str]:
    """DVC's hashes of a stage's outputs by path; none where the stage has not run."""
    return lock.stages[stage].outputs if stage in lock.stages else {}


def results_of_experiment(
    workspace: Workspace, repository: Repository, experiment: Experiment, cards: dict[str, Card | None]
) -> Results:
    """What an experiment's commit holds. `cards` is what other experiments have read, by DVC's hash."""
    commit = experiment.commit
    committed = repository.git("show", "--no-patch", "--format=%ct", commit)
    return Results(
        workspace=workspace,
        experiment=experiment.name,
        baseline=experiment.baseline,
        commit=commit,
        time=1000 * int(committed or 0),
        params=parse_values(repository.text(commit, workspace.params.name) or ""),
        lock=repository.lock(commit),
        base=repository.lock(experiment.baseline),
        read=lambda path: repository.output(commit, path),
        cards=cards,
    )


def results_in_working_tree(workspace: Workspace, repository: Repository) -> Results:
    """What lies in the working tree, as far as it is what dvc.lock says.

    A stage that runs at this moment has its outputs there already, or half of them, and dvc.lock still
    describes the former ones.
    """
    head = repository.head() or ""
    lock = repository.lock(None)
    sound: dict[str, bool] = {}

    def read(path: str) -> bytes | None:
        for output, known_as in lock.outputs.items():
            if path == output or path.startswith(f"{output}/"):
                try:
                    if output not in sound:
                        sound[output] = dvc_hash(workspace.root / output) == known_as
                    return (workspace.root / path).read_bytes() if sound[output] else None
                except OSError:
                    return None
        return None

    return Results(
        workspace=workspace,
        experiment="",
        baseline=head,
        commit=head,
        time=round(1000 * workspace.lock.stat().st_mtime) if workspace.lock.exists() else 0,
        params=parse_values(repository.text(None, workspace.params.name) or ""),
        lock=lock,
        base=repository.lock(head) if head else Lock("", {}),
        read=read,
    )
