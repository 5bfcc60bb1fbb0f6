"""Which runs made which outputs: tags runs with what DVC keeps of them, and finds outputs without a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.repository.repository import Lock, Repository
from pipeline.repository.stage_outputs import StageOutputs
from pipeline.tracking import tags
from pipeline.tracking.flat_params import as_text
from pipeline.tracking.journal.parents import experiment_key
from pipeline.tracking.runs.facts import RunFacts, facts_of
from pipeline.tracking.store import Store, stored_params

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class MissingRun:
    """Outputs that no run stands for, as nothing was executed; `original` is the run that made them once."""

    stage: str
    original: str | None


@dataclass(frozen=True)
class Matched:
    """How many runs were tagged, and which are missing."""

    tagged: int
    missing: tuple[MissingRun, ...]


class RunMatcher:
    """Compares the store with outputs. Asked twice, it tags nothing the second time."""

    def __init__(self, store: Store, experiment: str, repository: Repository, origin: str) -> None:
        """`experiment` is MLflow's name for the project; only runs of `origin` are tagged."""
        self._store = store
        self._experiment = experiment
        self._repository = repository
        self._origin = origin
        self._locks: dict[str, Lock] = {}

    def match_experiment(self, outputs: StageOutputs) -> Matched:
        """Tag an experiment's runs with its commit, where they are really what that commit holds.

        A name can be used again for other params; runs of the former use are left alone.
        """
        parents = self._parents(outputs)
        children = [
            run
            for parent in parents
            for run in self._store.find_runs(
                self._experiment, {tags.NESTED_IN: parent.info.run_id}, status="FINISHED", deleted_too=True
            )
        ]
        commit = {tags.DVC_COMMIT: outputs.commit}
        tagged = sum(self._tag(parent, commit) for parent in parents)
        missing = []
        for stage in outputs.stages:
            facts = facts_of(outputs, stage)
            executed = [run for run in children if run.data.tags.get(tags.STAGE) == stage]
            made = [run for run in executed if _says(run, facts)]
            kept_as = commit | {tags.DVC_HASH: outputs.main_hash(stage)}
            tagged += sum(self._tag_family(run, kept_as) for run in made)
            # Of outputs that cannot be read, any run of the stage may be the one that made them.
            recorded = made if facts is not None else executed
            if not recorded and outputs.differs_from_baseline(stage):
                missing.append(self._missing(stage, self._runs_that_say(facts)))
        return Matched(tagged, tuple(missing))

    def match_working_tree(self, outputs: StageOutputs) -> Matched:
        """Tag runs with DVC's hash of what they have made; find what has no run.

        That is outputs that the store does not know at all (a new store, a clone after `dvc pull`), or
        outputs that differ from the committed ones without a run since those were committed: DVC took
        them from its run cache.
        """
        tagged, missing = 0, []
        for stage in outputs.stages:
            if (facts := facts_of(outputs, stage)) is None:
                continue
            made = self._runs_that_say(facts)
            known_as = {tags.DVC_HASH: outputs.main_hash(stage)}
            tagged += sum(self._tag(run, known_as) for run in made if tags.DVC_HASH not in run.data.tags)
            recorded = any(self._began_from(run, stage) == outputs.base.outputs_of(stage) for run in made)
            if not made or (outputs.differs_from_baseline(stage) and not recorded):
                missing.append(self._missing(stage, made))
        # With other params in params.yaml nobody can say here which ones the outputs belong to.
        return Matched(tagged, tuple(missing) if outputs.are_of_these_params else ())

    def _parents(self, outputs: StageOutputs) -> "list[Run]":
        """The parent runs of an experiment with these params, of any project folder, deleted ones too."""
        of_the_name = {tags.DVC_EXPERIMENT: outputs.experiment, tags.DVC_BASELINE: outputs.baseline}
        named = [
            run
            for run in self._all_parents(of_the_name)
            if run.data.tags.get(tags.EXPERIMENT_KEY)
            == experiment_key(
                run.data.tags.get(tags.ORIGIN, ""), outputs.experiment, outputs.baseline, outputs.params
            )
        ]
        # `dvc exp rename` keeps the commit.
        return named or self._all_parents({tags.DVC_COMMIT: outputs.commit})

    def _all_parents(self, wanted: Mapping[str, str]) -> "list[Run]":
        return self._store.find_runs(
            self._experiment, {tags.KIND: tags.KIND_EXPERIMENT, **wanted}, deleted_too=True
        )

    def _runs_that_say(self, facts: RunFacts | None) -> "list[Run]":
        """Finished runs of any experiment, deleted ones too."""
        if facts is None:
            return []
        found = self._store.find_runs(self._experiment, facts.tags, status="FINISHED", deleted_too=True)
        return [run for run in found if _says(run, facts)]

    def _missing(self, stage: str, made: "list[Run]") -> MissingRun:
        """`made` are runs that say the same; one that was executed, best in this folder, is the original."""
        executed = [run for run in made if tags.RESTORED not in run.data.tags and _is_active(run)]
        own = [run for run in executed if run.data.tags.get(tags.ORIGIN) == self._origin]
        original = next(iter([*own, *executed]), None)
        return MissingRun(stage, original.info.run_id if original else None)

    def _began_from(self, run: "Run", stage: str) -> Mapping[str, str]:
        """The outputs that dvc.lock had for a stage in the commit that a run was made on."""
        commit = run.data.tags.get(tags.DVC_BASELINE) or run.data.tags.get(tags.GIT_COMMIT, "")
        if commit not in self._locks:
            self._locks[commit] = self._repository.lock(commit) if commit else Lock("", {})
        return self._locks[commit].outputs_of(stage)

    def _tag_family(self, run: "Run", values: Mapping[str, str]) -> int:
        """Tag a run, and its trials with what does not concern the run alone; returns how many."""
        shared = {name: value for name, value in values.items() if name != tags.DVC_HASH}
        trials = self._store.children_of(self._experiment, run.info.run_id)
        return self._tag(run, values) + sum(self._tag(trial, shared) for trial in trials)

    def _tag(self, run: "Run", values: Mapping[str, str]) -> int:
        """Tag a run of this project folder and its model; returns 1 where that changed something, else 0."""
        known = run.data.tags
        if known.get(tags.ORIGIN) != self._origin or not _is_active(run):
            return 0
        if all(known.get(name) == value for name, value in values.items()):
            return 0
        for model in self._store.logged_models_of(run, known.get(tags.MODEL_DIGEST, "")):
            self._store.client.set_logged_model_tags(model.model_id, dict(values))
        self._store.set_tags(run.info.run_id, values)
        return 1


def _says(run: "Run", facts: RunFacts | None) -> bool:
    """Whether a run is one of just these outputs: other params can give the same network."""
    return facts is not None and (
        stored_params(as_text(facts.params)).items() <= run.data.params.items()
        and facts.tags.items() <= run.data.tags.items()
        and facts.metrics.items() <= run.data.metrics.items()
    )


def _is_active(run: "Run") -> bool:
    return str(run.info.lifecycle_stage) == "active"
