"""What evaluate has found out about a model, wherever DVC keeps it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.commands.addresses.finding import Finder
from pipeline.commands.addresses.found import Found, InRegistry, InRevision, InWorkingTree, OfRun
from pipeline.foundation.array_types import Int64, UInt8
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import CANDIDATES, SUBSETS, Workspace
from pipeline.images.arrays import IMAGES_FILE, LABELS_FILE, arrays_digest
from pipeline.images.catalogue import Provenance
from pipeline.inference.model_card import ModelCard
from pipeline.repository.stage_outputs import StageOutputs
from pipeline.scoring.predictions import Predictions, load_predictions
from pipeline.scoring.scores import Scores, load_scores
from pipeline.tracking import tags


class MissingEvaluationError(PipelineError):
    """The evaluation of a model is gone, or part of it."""


@dataclass(frozen=True)
class EvaluatedModel:
    """A candidate among the outputs of the stages, with its data and its evaluation.

    What is not looked at is not read. Everything raises MissingEvaluationError where a file of it is gone.

    Attributes:
      outputs: of the working tree, or of a commit.
      candidate: one of CANDIDATES.
      origin: where that is, in words.
    """

    outputs: StageOutputs
    candidate: str
    origin: str

    @cached_property
    def card(self) -> ModelCard:
        return ModelCard.load(self.require(self._workspace.card(self.candidate)))

    @property
    def network(self) -> Path:
        return self.require(self._workspace.network(self.candidate))

    @property
    def history(self) -> Path | None:
        """The file with the curves of the training."""
        return self.outputs.find(self._workspace.history(self.candidate))

    @property
    def scores(self) -> Mapping[str, Scores]:
        """By subset. Empty where there are none, or those that there are belong to other models."""
        return (self.outputs.scores or {}).get(self.candidate, {})

    @cached_property
    def predictions(self) -> Mapping[str, Predictions]:
        """By subset."""
        return load_predictions(self._predictions_of(self.candidate))

    def predictions_of(self, reference: str) -> Predictions:
        """What a reference says about the test subset."""
        return load_predictions(self._predictions_of(reference))["test"]

    @property
    def references(self) -> Mapping[str, Mapping[str, Scores]]:
        """Scores by reference and subset."""
        return load_scores(self.require(self._workspace.references))

    @property
    def source(self) -> Provenance:
        """Of the images."""
        return Provenance.load(self.require(self._workspace.source))

    @property
    def labels(self) -> dict[str, Int64[np.ndarray, " n"]]:
        """By subset."""
        folders = {name: self._workspace.subset(name) for name in SUBSETS}
        return {name: np.load(self.require(folder / LABELS_FILE)) for name, folder in folders.items()}

    @cached_property
    def test_digest(self) -> str:
        """Of the arrays of the test subset."""
        return arrays_digest([self._test])

    @property
    def test_images(self) -> UInt8[np.ndarray, "n h w c"]:
        images: UInt8[np.ndarray, "n h w c"] = np.load(self._test / IMAGES_FILE, mmap_mode="r")
        return images

    def require(self, path: Path) -> Path:
        """Where a file or folder of the workspace can be read."""
        found = self.outputs.find(path)
        if found is None:
            name = path.relative_to(self._workspace.root).as_posix()
            raise _missing(f"the model {self.candidate} of {self.origin}", f"{name} is missing")
        return found

    @property
    def _workspace(self) -> Workspace:
        return self.outputs.workspace

    @cached_property
    def _test(self) -> Path:
        return self.require(self._workspace.subset("test"))

    def _predictions_of(self, name: str) -> Path:
        return self.require(self._workspace.predictions_of(name))


def evaluated_model(finder: Finder, found: Found) -> EvaluatedModel:
    """That very model with its scores and predictions.

    Raises MissingEvaluationError where they are not stored here; PipelineError where MLflow has to be asked
    for places to look at and does not answer.
    """
    missing = _missing(str(found), "no such model among the candidates")
    for model in _places(finder, found):
        try:
            _ = model.card, model.predictions
        except MissingEvaluationError as error:
            missing = error
        else:
            if model.scores:
                return model
            missing = _missing(str(found), "the model, but no scores of it")
    raise missing


def _places(finder: Finder, found: Found) -> Iterator[EvaluatedModel]:
    match found:
        case InWorkingTree(candidate):
            yield EvaluatedModel(finder.working_tree, candidate, "the working tree")
        case InRevision():
            yield EvaluatedModel(finder.outputs(found.commit), finder.candidate(found), found.title)
        case _:
            digest = finder.digest(found)
            known = found.run.candidate if isinstance(found, OfRun) else ""
            for outputs, origin in _outputs_that_may_have(finder, found, digest):
                for candidate in (known,) if known in CANDIDATES else CANDIDATES:
                    if (outputs.card(candidate) or {}).get("model_digest") == digest:
                        yield EvaluatedModel(outputs, candidate, f"{found}; {origin}")


def _outputs_that_may_have(finder: Finder, found: Found, digest: str) -> Iterator[tuple[StageOutputs, str]]:
    """The working tree, and the commits that the runs of a model name: its experiment's first."""
    yield finder.working_tree, "the working tree"
    if not finder.store.exists:
        return
    with finder.store.failures_as_unavailable():
        facts = [run.data.tags for run in finder.index.with_tags({tags.MODEL_DIGEST: digest})]
    if isinstance(found, InRegistry):  # its run may have been deleted
        facts.append(dict(finder.registry(found.name).version(found.version).tags))
    commits = [each.get(name, "") for name in (tags.DVC_COMMIT, tags.GIT_COMMIT) for each in facts]
    hashes = {each.get(tags.DVC_HASH, "") for each in facts} - {""}
    commits += [finder.repository.first_commit_with(dvc_hash) or "" for dvc_hash in sorted(hashes)]
    for commit in dict.fromkeys(filter(None, commits)):
        if finder.repository.git_commit(commit):
            yield finder.outputs(commit), finder.title(commit)


def _missing(what: str, found: str) -> MissingEvaluationError:
    return MissingEvaluationError(
        f"No evaluation of {what} is stored here.",
        expected="the model's card, scores and predictions in the working tree or in DVC's cache",
        found=found,
        remedy="'dvc pull' or 'dvc exp pull' brings what colleagues have; 'dvc repro' in that revision makes "
        "it again",
    )
