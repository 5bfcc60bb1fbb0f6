"""Challenger against champion: what both say about the images of the challenger's test subset."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.images.arrays import ImageArrays, arrays_digest
from pipeline.images.catalogue import Catalogue, EncodedImages
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.promotion.gates import Challenger, Incomparable
from pipeline.reporting.wording import several
from pipeline.scoring.predictions import Predictions, require_finite
from pipeline.tracking import tags
from pipeline.tracking.registry.model_use import EncodedFiles, use_model
from pipeline.tracking.registry.registry import Evidence, Registry, Version

Say = Callable[[str], None]

_COMPARED_IMAGES = 16
_LISTED_CLASSES = 5
_SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Contest:
    """All that a decision is made from.

    Attributes:
      challenger: the version that wants to become champion.
      evidence: its predictions, and those of the references.
      champion: the version that the alias points to; None where there is none yet.
      champion_predictions: of the challenger's test subset.
      note: what to know of how these were had; empty where nothing is special.
    """

    challenger: Version
    evidence: Evidence
    champion: Version | None
    champion_predictions: Predictions | Incomparable | None
    note: str = ""

    @property
    def test(self) -> Predictions:
        """The challenger's predictions of its test subset."""
        return self.evidence.predictions["test"]

    @property
    def test_digest(self) -> str:
        return self.challenger.tags[tags.TEST_DIGEST]

    @property
    def contestant(self) -> Challenger:
        """The challenger as `decide` wants it."""
        values = self.challenger.tags
        return Challenger(
            predictions=self.test,
            classes=_classes(self.challenger),
            size_bytes=int(values[tags.SIZE_BYTES]),
            latency_ms=float(values[tags.LATENCY_MS]),
        )


def make_contest(
    workspace: Workspace,
    registry: Registry,
    challenger: Version,
    champion: Version | None,
    threads: int,
    force: bool,
    say: Say,
) -> Contest:
    """Get what is stored of both, or else evaluate the champion on the challenger's test subset.

    Args:
      workspace: where the images are, if they are needed.
      registry: where the versions are.
      challenger: made by `register`.
      champion: None where there is none yet.
      threads: of TensorFlow.
      force: whether a champion that cannot be evaluated is no obstacle.
      say: is told what takes time.

    Raises:
      PipelineError: something is missing; the message says what and where to find it.
    """
    contest = Contest(challenger, registry.evidence(challenger), champion, None)
    if champion is None:
        return contest
    try:
        if _is_comparable(challenger, champion):
            return replace(contest, champion_predictions=registry.evidence(champion).predictions["test"])
        return _with_champion_evaluated_anew(workspace, registry, contest, champion, threads, say)
    except PipelineError as error:
        if not force:
            raise
        return replace(contest, champion_predictions=Incomparable(f"not compared: {error.what}"))


def _is_comparable(challenger: Version, champion: Version) -> bool:
    """Whether what is stored of both is about the same images and classes."""
    same = (tags.TEST_DIGEST, tags.CLASSES)
    return tags.REGISTRATION in champion.tags and all(
        champion.tags.get(name) == challenger.tags.get(name) for name in same
    )


def _with_champion_evaluated_anew(
    workspace: Workspace,
    registry: Registry,
    contest: Contest,
    champion: Version,
    threads: int,
    say: Say,
) -> Contest:
    """The contest with the champion's predictions, made from encoded images as its users would."""
    classes = _classes(contest.challenger)
    files = _test_files(workspace, registry, contest)
    say(
        f"version {champion.number} was evaluated on another test subset: "
        f"evaluating it on the {len(contest.test):,} images of the challenger's"
    )
    model = f"models:/{registry.name}/{champion.number}"
    use = use_model(registry.store, model, say, encoded=files, threads=threads)
    predictions: Predictions | Incomparable
    if set(use.classes) != set(classes):
        different = sorted(set(use.classes) ^ set(classes))
        reason = f"knows other classes: {several(different, _LISTED_CLASSES)} in one of the two only"
        predictions = Incomparable(reason)
    else:
        order = [use.classes.index(name) for name in classes]
        probabilities = require_finite(use.encoded[:, order], f"version {champion.number}")
        predictions = Predictions(probabilities, contest.test.labels, contest.test.ids)
    return replace(contest, champion_predictions=predictions, note=_note(contest, champion))


def _note(contest: Contest, champion: Version) -> str:
    note = f"Version {champion.number} was evaluated anew, on the challenger's test subset."
    if champion.tags.get(tags.DATA_DIGEST) == contest.challenger.tags.get(tags.DATA_DIGEST):
        return note
    return (
        f"{note} It was trained on other data than the challenger and may have seen some of these images: "
        "that favors the champion, so a promotion can be trusted, and a refusal may be due to it."
    )


def _test_files(workspace: Workspace, registry: Registry, contest: Contest) -> EncodedFiles:
    """The encoded images of the challenger's test subset. Raises PipelineError where they are not here."""
    folder = workspace.arrays / "test"
    here = arrays_digest([folder]) if (folder / "images.npy").exists() else ""
    if here != contest.test_digest:
        address = f"models:/{registry.name}/{contest.challenger.number}"
        raise PipelineError(
            "The champion was evaluated on another test subset, and the challenger's is not here.",
            expected=f"data/arrays/test with the digest {contest.test_digest[:_SHOWN_DIGITS]}…",
            found=f"the digest {here[:_SHOWN_DIGITS]}…" if here else "no data/arrays/test",
            remedy=f"bring it back by the commands that 'python -m pipeline lineage {address}' names",
        )
    catalogue = Catalogue.load(workspace.raw / "catalogue.csv")
    if contest.test.ids.max() >= len(catalogue):
        raise _other_images()
    entries = [catalogue.entries[index] for index in contest.test.ids]
    path = workspace.raw / "images.tar"
    spec, arrays = PreprocessingSpec.load(workspace.arrays / "preprocessing.json"), ImageArrays.load(folder)
    with EncodedImages(path) as images:
        for row in np.linspace(0, len(entries) - 1, _COMPARED_IMAGES).astype(int):
            if not np.array_equal(spec.apply(images.read(entries[row])), arrays.images[row]):
                raise _other_images()
    return EncodedFiles(path, [entry.offset for entry in entries], [entry.size for entry in entries])


def _other_images() -> PipelineError:
    return PipelineError(
        "data/raw does not hold the images that data/arrays/test was made from.",
        remedy="run 'dvc checkout', or 'dvc repro preprocess'",
    )


def _classes(version: Version) -> tuple[str, ...]:
    return tuple(json.loads(version.tags[tags.CLASSES]))
