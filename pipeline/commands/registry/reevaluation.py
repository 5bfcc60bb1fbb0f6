"""A champion evaluated anew, on the test subset of a challenger that was evaluated on other images."""

import json

import numpy as np

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.images.arrays import ImageArrays, arrays_digest
from pipeline.images.catalogue import Catalogue, EncodedImages
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.processes.child_process import Say
from pipeline.promotion.gates import Incomparable
from pipeline.reporting.wording import several
from pipeline.scoring.predictions import Predictions, require_finite
from pipeline.tracking import tags
from pipeline.tracking.registry.model_use import EncodedFiles, use_model
from pipeline.tracking.registry.registry import Registry, Version

_COMPARED_IMAGES = 16
_LISTED_CLASSES = 5
_SHOWN_DIGITS = 12


def predict_test_subset_of(
    workspace: Workspace,
    registry: Registry,
    challenger: Version,
    champion: Version,
    test: Predictions,
    threads: int,
    say: Say,
) -> Predictions | Incomparable:
    """What the champion says about the images of a challenger's test subset, made as its users would.

    Args:
      workspace: where the images are, encoded.
      registry: where the versions are.
      challenger: whose test subset it is.
      champion: is asked.
      test: what the challenger says about these images.
      threads: of TensorFlow.
      say: is told what takes time.

    Raises:
      PipelineError: the images are not here; the message says where to find them.
    """
    classes = _classes(challenger)
    files = _test_files(workspace, registry, challenger, test)
    say(
        f"version {champion.number} was evaluated on another test subset: "
        f"evaluating it on the {len(test):,} images of the challenger's"
    )
    model = f"models:/{registry.name}/{champion.number}"
    use = use_model(registry.store, model, say, encoded=files, threads=threads)
    if set(use.classes) != set(classes):
        different = sorted(set(use.classes) ^ set(classes))
        return Incomparable(
            f"knows other classes: {several(different, _LISTED_CLASSES)} in one of the two only"
        )
    order = [use.classes.index(name) for name in classes]
    probabilities = require_finite(use.encoded[:, order], f"version {champion.number}")
    return Predictions(probabilities, test.labels, test.ids)


def _test_files(
    workspace: Workspace, registry: Registry, challenger: Version, test: Predictions
) -> EncodedFiles:
    """The encoded images of the challenger's test subset. Raises PipelineError where they are not here."""
    folder = workspace.subset("test")
    here = arrays_digest([folder]) if ImageArrays.is_there(folder) else ""
    wanted = challenger.tags[tags.TEST_DIGEST]
    if here != wanted:
        address = f"models:/{registry.name}/{challenger.number}"
        raise PipelineError(
            "The champion was evaluated on another test subset, and the challenger's is not here.",
            expected=f"data/arrays/test with the digest {wanted[:_SHOWN_DIGITS]}…",
            found=f"the digest {here[:_SHOWN_DIGITS]}…" if here else "no data/arrays/test",
            remedy=f"bring it back by the commands that 'python -m pipeline lineage {address}' names",
        )
    catalogue = Catalogue.load(workspace.catalogue)
    if test.ids.max() >= len(catalogue):
        raise _other_images()
    entries = [catalogue.entries[index] for index in test.ids]
    path = workspace.encoded_images
    spec, arrays = PreprocessingSpec.load(workspace.preprocessing), ImageArrays.load(folder)
    with EncodedImages(path) as images:
        for row in np.linspace(0, len(entries) - 1, _COMPARED_IMAGES).astype(int):
            if not np.array_equal(spec.apply(images.read(entries[row])), arrays.images[row]):
                raise _other_images()
    return EncodedFiles(path, [entry.offset for entry in entries], [entry.size for entry in entries])


def _other_images() -> PipelineError:
    return PipelineError(
        "data/fetched does not hold the images that data/arrays/test was made from.",
        remedy="run 'dvc checkout', or 'dvc repro preprocess'",
    )


def _classes(version: Version) -> tuple[str, ...]:
    return tuple(json.loads(version.tags[tags.CLASSES]))
