"""Finds the two models of `python -m pipeline compare`, with what is stored of them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.commands.models.model_folder import BEST
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import CANDIDATES, Workspace
from pipeline.images.arrays import ImageArrays
from pipeline.inference.model_card import ModelCard
from pipeline.params.whole import Params
from pipeline.reporting.results import History, SubsetScores
from pipeline.repository.repository import Experiment, Repository
from pipeline.repository.stage_outputs import Results, results_in_working_tree, results_of_experiment
from pipeline.scoring.predictions import Predictions, load_predictions
from pipeline.side_by_side import ComparedModel
from pipeline.tracking.lineage import ModelLineage, RevisionLineage, trace
from pipeline.tracking.registry.model_files import download_model
from pipeline.tracking.registry.registry import Registry
from pipeline.tracking.run_params import as_text

_WORKING_TREE = "working-tree"
_DATA_STAGES = ("fetch", "split", "preprocess")
_SUBSETS = ("validation", "test")


@dataclass(frozen=True)
class FoundModel:
    """A model to compare.

    Attributes:
      side: what the page needs of it.
      raw_data: DVC's hash of the images that it was made from; empty where that is not known.
      test_data: DVC's hash of its test arrays; empty where that is not known.
      read_images: its test images, uint8 (N, height, width, channels); None where they are not to be had.
    """

    side: ComparedModel
    raw_data: str
    test_data: str
    read_images: Callable[[], np.ndarray | None]


class ModelFinder:
    """Looks in the working tree, in commits and experiments (through DVC's cache), and in MLflow."""

    def __init__(self, workspace: Workspace, params: Params, scratch: Path) -> None:
        """`scratch` is a folder for copies of files; it has to last as long as what is found."""
        self._workspace = workspace
        self._params = params
        self._scratch = scratch
        self._repository = Repository(workspace.root)

    def find(self, what: str) -> FoundModel:
        """The model that is meant.

        Args:
          what: best or a candidate of the working tree; a commit, branch, tag or DVC experiment, which means
            its best model, or one of its candidates after a colon (main:tuned); a run's id;
            models:/NAME@ALIAS or models:/NAME/VERSION.

        Raises:
          PipelineError: there is no such model, or no evaluation of it is stored anywhere.
        """
        place, candidate = _place_and_candidate(what)
        if place is None:
            results = results_in_working_tree(self._workspace, self._repository)
            return self._evaluated(what, results, candidate, "the working tree")
        commit = self._repository.commit(place)
        if commit is not None:
            return self._in_commit(what, place, commit, candidate)
        lineage = trace(self._workspace, self._params.tracking.experiment, what)
        if isinstance(lineage, RevisionLineage):
            if not lineage.commit:
                raise _unevaluated(what, lineage.subject)
            return self._in_commit(what, place, lineage.commit, candidate)
        return self._of_lineage(what, lineage)

    def _in_commit(self, what: str, place: str, commit: str, candidate: str | None) -> FoundModel:
        return self._evaluated(what, self._results(place, commit), candidate, self._title(place, commit))

    def _results(self, place: str, commit: str) -> Results:
        revision = Experiment(name=place, baseline=commit, commit=commit)
        return results_of_experiment(self._workspace, self._repository, revision, {})

    def _title(self, place: str, commit: str) -> str:
        if any(each.commit == commit for each in self._repository.experiments()):
            return f"experiment {place}, commit {commit[:7]}"
        return f"commit {self._repository.title(commit)}"

    def _evaluated(self, what: str, results: Results, candidate: str | None, origin: str) -> FoundModel:
        """Raises PipelineError where the model or its evaluation is not there."""
        if candidate is None:
            best = results.read_json(results.path(self._workspace.best)) or {}
            candidate = str(best.get("candidate", ""))
        found = self._found(what, results, candidate, origin) if candidate in CANDIDATES else None
        if found is None:
            raise _unevaluated(what, origin)
        return found

    def _found(self, what: str, results: Results, candidate: str, origin: str) -> FoundModel | None:
        """A candidate with its evaluation; None where a file of it is not to be had."""
        workspace, scores = self._workspace, results.scores
        folder = self._scratch / (results.commit if results.experiment else _WORKING_TREE)
        model = workspace.model(candidate)
        card = results.copy(results.path(model / "card.json"), folder)
        predictions = results.copy(results.path(workspace.predictions / f"{candidate}.npz"), folder)
        if card is None or predictions is None or scores is None or candidate not in scores:
            return None
        history = results.copy(results.path(model / "history.csv"), folder)
        images = results.path(workspace.arrays / "test" / "images.npy")
        outputs = results.lock.outputs
        return FoundModel(
            side=ComparedModel(
                asked=what,
                origin=origin,
                card=ModelCard.load(card),
                params=_params(results, ModelCard.load(card)),
                scores=_typed(scores[candidate]),
                test=load_predictions(predictions)["test"],
                history=None if history is None else History.load(history),
            ),
            raw_data=outputs.get(results.path(workspace.raw), ""),
            test_data=outputs.get(results.path(workspace.arrays / "test"), ""),
            read_images=lambda: _load_images(results.copy(images, folder)),
        )

    def _of_lineage(self, what: str, lineage: ModelLineage) -> FoundModel:
        """Raises PipelineError where no place has the evaluation of that very model."""
        run = f"run {lineage.run.run_id[:8]}" if lineage.run else lineage.git_title
        for origin, results in self._places(lineage):
            card = results.card(lineage.candidate)
            if card is not None and card["model_digest"] == lineage.model_digest:
                found = self._found(what, results, lineage.candidate, f"{run}; {origin}")
                if found is not None:
                    return found
        for registered in lineage.registered:
            return self._registered(what, lineage, registered.name, registered.version)
        raise _unevaluated(what, run)

    def _places(self, lineage: ModelLineage) -> Iterator[tuple[str, Results]]:
        """Where the files of a model may be: the working tree, its experiment, the commits that have it."""
        yield "the working tree", results_in_working_tree(self._workspace, self._repository)
        commits = [
            lineage.experiment.commit if lineage.experiment else "",
            lineage.git_commit,
            (lineage.dvc_hash and self._repository.first_commit_with(lineage.dvc_hash)) or "",
        ]
        for commit in dict.fromkeys(filter(None, commits)):
            if self._repository.git_commit(commit):
                yield self._title(commit[:7], commit), self._results(commit[:7], commit)

    def _registered(self, what: str, lineage: ModelLineage, name: str, number: int) -> FoundModel:
        """A model of which MLflow has all that is left. Raises PipelineError."""
        registry = Registry(self._workspace, name)
        version = registry.version(number)
        test = registry.evidence(version).predictions["test"]
        folder = self._scratch / f"{name}-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        files = download_model(self._workspace, f"models:/{name}/{number}", folder)
        history = registry.run_file(version, "history.csv", folder)
        scores: dict[str, dict[str, float]] = {subset: {} for subset in _SUBSETS}
        for key, value in lineage.scores.items():
            subset, _, score = key.partition("_")
            scores.setdefault(subset, {})[score] = value
        return FoundModel(
            side=ComparedModel(
                asked=what,
                origin=f"version {number} of {name} in MLflow",
                card=ModelCard.load(files.folder / "card.json"),
                params=lineage.params,
                scores=_typed(scores),
                test=test,
                history=None if history is None else History.load(history),
            ),
            raw_data="",
            test_data="",
            read_images=lambda: _images_here(self._workspace, test),
        )


def _place_and_candidate(what: str) -> tuple[str | None, str | None]:
    """Where to look, None in the working tree, and for which candidate, None for the best one.

    `main:tuned` names a candidate of a revision; a candidate alone is that of the working tree.
    """
    if what == BEST:
        return None, None
    if what in CANDIDATES:
        return None, what
    place, _, candidate = what.rpartition(":")
    return (place, candidate) if place and candidate in CANDIDATES else (what, None)


def _params(results: Results, card: ModelCard) -> dict[str, str]:
    """The params that decide about the data, and the hyperparameters, those that a search has found."""
    stages = [results.lock.stages[name].params for name in _DATA_STAGES if name in results.lock.stages]
    data = {key: value for params in stages for key, value in params.items()}
    return as_text({**data, **card.hyperparameters})


def _typed(scores: Mapping[str, Mapping[str, float]]) -> dict[str, SubsetScores]:
    return {subset: SubsetScores.from_json(values) for subset, values in scores.items()}


def _load_images(path: Path | None) -> np.ndarray | None:
    return None if path is None else np.load(path, mmap_mode="r")


def _images_here(workspace: Workspace, test: Predictions) -> np.ndarray | None:
    """The test images of the working tree, if they are those that were predicted."""
    folder = workspace.arrays / "test"
    if not (folder / "images.npy").exists():
        return None
    here = ImageArrays.load(folder)
    same = np.array_equal(here.ids, test.ids) and np.array_equal(here.labels, test.labels)
    return here.images if same else None


def _unevaluated(what: str, origin: str) -> PipelineError:
    return PipelineError(
        f"No evaluation of '{what}' is stored here.",
        expected="the model's card, scores and predictions in the working tree, in DVC's cache or in MLflow",
        found=f"{origin}, without them",
        remedy="'dvc pull' or 'dvc exp pull' fetches what colleagues have; 'dvc repro' in that revision "
        "makes it again",
    )
