"""Which runs stand for which results: tags runs with what DVC keeps of them, and finds what has no run."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.foundation.workspace import CANDIDATES
from pipeline.repository.repository import Lock, Repository
from pipeline.repository.stage_outputs import TRAININGS, Card, Results, flat_scores, outputs_of
from pipeline.tracking import tags
from pipeline.tracking.journal.parents import experiment_key
from pipeline.tracking.run_params import as_text
from pipeline.tracking.store import Store, stored_params

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class Unrecorded:
    """A result that no run stands for, as nothing was executed; `original` is the run that made it once."""

    stage: str
    original: str | None
    data_digest: str | None


@dataclass(frozen=True)
class Resolution:
    """How many runs were tagged, and what has no run."""

    tagged: int
    unrecorded: tuple[Unrecorded, ...]


class Resolver:
    """Compares the store with results. Asked twice, it tags nothing the second time."""

    def __init__(self, store: Store, experiment: str, repository: Repository, origin: str) -> None:
        """`experiment` is MLflow's name for the project; only runs of `origin` are tagged."""
        self._store = store
        self._experiment = experiment
        self._repository = repository
        self._origin = origin
        self._locks: dict[str, Lock] = {}

    def resolve_experiment(self, results: Results) -> Resolution:
        """Tag an experiment's runs with its commit, where they are really what that commit holds.

        A name can be used again for other params; runs of the former use are left alone.
        """
        parents = self._parents(results)
        children = [
            run
            for parent in parents
            for run in self._store.find_runs(
                self._experiment, {tags.NESTED_IN: parent.info.run_id}, status="FINISHED", deleted_too=True
            )
        ]
        commit = {tags.DVC_COMMIT: results.commit}
        tagged = sum(self._tag(parent, commit) for parent in parents)
        unrecorded = []
        for stage in results.stages:
            executed = [run for run in children if run.data.tags.get(tags.STAGE) == stage]
            made = [run for run in executed if _is_run_of(results, stage, run)]
            kept_as = commit | {tags.DVC_HASH: results.main_hash(stage)}
            tagged += sum(self._tag_family(run, kept_as) for run in made)
            # Of a result that cannot be read, any run of the stage may be the one that made it.
            recorded = made if _readable(results, stage) else executed
            if not recorded and results.differs_from_baseline(stage):
                unrecorded.append(self._unrecorded(results, stage))
        return Resolution(tagged, tuple(unrecorded))

    def resolve_working_tree(self, results: Results) -> Resolution:
        """Tag runs with DVC's hash of what they have made; find what has no run.

        That is a model that the store does not know at all (a new store, a clone after `dvc pull`), or
        a result that differs from the committed one without a run since that was committed: DVC took
        it from its run cache.
        """
        tagged, unrecorded = 0, []
        for stage in results.stages:
            if not _readable(results, stage):
                continue
            made = [run for run in self._runs_of(results, stage) if _is_run_of(results, stage, run)]
            known_as = {tags.DVC_HASH: results.main_hash(stage)}
            tagged += sum(self._tag(run, known_as) for run in made if tags.DVC_HASH not in run.data.tags)
            recorded = any(self._began_from(run, stage) == outputs_of(results.base, stage) for run in made)
            if not made or (results.differs_from_baseline(stage) and not recorded):
                unrecorded.append(self._unrecorded(results, stage))
        # With other params in params.yaml nobody can say here which ones the results belong to.
        return Resolution(tagged, tuple(unrecorded) if results.are_of_these_params else ())

    def _parents(self, results: Results) -> "list[Run]":
        """The parent runs of an experiment with these params, of any project folder, deleted ones too."""
        of_the_name = {tags.DVC_EXPERIMENT: results.experiment, tags.DVC_BASELINE: results.baseline}
        named = [
            run
            for run in self._all_parents(of_the_name)
            if run.data.tags.get(tags.EXPERIMENT_KEY)
            == experiment_key(
                run.data.tags.get(tags.ORIGIN, ""), results.experiment, results.baseline, results.params
            )
        ]
        # `dvc exp rename` keeps the commit.
        return named or self._all_parents({tags.DVC_COMMIT: results.commit})

    def _all_parents(self, wanted: Mapping[str, str]) -> "list[Run]":
        return self._store.find_runs(
            self._experiment, {tags.KIND: tags.KIND_EXPERIMENT, **wanted}, deleted_too=True
        )

    def _runs_of(self, results: Results, stage: str) -> "list[Run]":
        """Runs of any experiment that have used or made these models, deleted ones too."""
        cards = {candidate: results.card(candidate) for candidate in CANDIDATES}
        if stage in TRAININGS:
            card = cards[TRAININGS[stage]]
            wanted = {tags.MODEL_DIGEST: card["model_digest"]} if card else {}
        else:
            wanted = {
                f"{tags.MODEL_DIGEST}.{candidate}": card["model_digest"]
                for candidate, card in cards.items()
                if card
            }
        if not wanted:
            return []
        return self._store.find_runs(self._experiment, wanted, status="FINISHED", deleted_too=True)

    def _unrecorded(self, results: Results, stage: str) -> Unrecorded:
        candidates = [
            run
            for run in self._runs_of(results, stage)
            if tags.RESTORED not in run.data.tags and _is_run_of(results, stage, run) and _is_active(run)
        ]
        own = [run for run in candidates if run.data.tags.get(tags.ORIGIN) == self._origin]
        original = next(iter([*own, *candidates]), None)
        if original is None:
            return Unrecorded(stage, None, None)
        return Unrecorded(stage, original.info.run_id, original.data.tags.get(tags.DATA_DIGEST))

    def _began_from(self, run: "Run", stage: str) -> Mapping[str, str]:
        """What dvc.lock said of a stage in the commit that a run was made on."""
        commit = run.data.tags.get(tags.DVC_BASELINE) or run.data.tags.get(tags.GIT_COMMIT, "")
        if commit not in self._locks:
            self._locks[commit] = self._repository.lock(commit) if commit else Lock("", {})
        return outputs_of(self._locks[commit], stage)

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


def _is_run_of(results: Results, stage: str, run: "Run") -> bool:
    """Whether a run has made just these results."""
    if stage in TRAININGS:
        card = results.card(TRAININGS[stage])
        return card is not None and _trained(run, card)
    expected = {
        f"{candidate}/{name}": value
        for candidate in results.scores or ()
        for name, value in flat_scores(results.scores or {}, candidate).items()
    }
    return bool(expected) and expected.items() <= run.data.metrics.items()


def _trained(run: "Run", card: Card) -> bool:
    """Whether a run has trained a model, under the same params: other params can give the same network."""
    params = stored_params(as_text(card["hyperparameters"]))
    return run.data.tags.get(tags.MODEL_DIGEST) == card["model_digest"] and (
        params.items() <= run.data.params.items()
    )


def _readable(results: Results, stage: str) -> bool:
    if stage in TRAININGS:
        return results.card(TRAININGS[stage]) is not None
    return results.scores is not None


def _is_active(run: "Run") -> bool:
    return str(run.info.lifecycle_stage) == "active"
