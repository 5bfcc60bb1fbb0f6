"""`python -m pipeline compare`: two models side by side in one page."""

import argparse
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.commands.addresses.address import Address, add_address
from pipeline.commands.addresses.evaluated import EvaluatedModel, MissingEvaluationError, evaluated_model
from pipeline.commands.addresses.finding import Finder
from pipeline.commands.addresses.found import Found, InRegistry
from pipeline.commands.addresses.lineages import lineage_of
from pipeline.commands.runs.sync import bring_up_to_date
from pipeline.commands.terminal import say
from pipeline.foundation.array_types import UInt8
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import write_text
from pipeline.foundation.workspace import CARD_FILE, HISTORY_FILE, Workspace
from pipeline.images.arrays import IMAGES_FILE, ImageArrays
from pipeline.inference.model_card import ModelCard
from pipeline.params.whole import load_params
from pipeline.processes.child_process import Say
from pipeline.reporting.document import Finding
from pipeline.reporting.house_style import figure_png
from pipeline.reporting.page import render_page
from pipeline.reporting.results import History
from pipeline.scoring.intervals import Bootstrap
from pipeline.scoring.predictions import Predictions
from pipeline.scoring.scores import parse_scores
from pipeline.side_by_side import ComparedModel, ModelPair, pair_document
from pipeline.tracking.flat_params import as_text
from pipeline.tracking.lineage.values import ModelLineage
from pipeline.tracking.registry.model_files import download_version
from pipeline.tracking.store import Store

_UNFIT_FOR_FILE_NAMES = re.compile(r"[^\w.@-]+")
_DATA_STAGES = ("fetch", "split", "preprocess")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for letter in "AB":
        add_address(parser, letter, metavar=letter, role="a model")
    parser.add_argument(
        "--output", type=Path, metavar="PAGE", help="the page (default: comparisons/A-B.html)"
    )


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> None:
    """Compare two models: params, scores, curves, confusions, and the pictures that one gets right alone."""
    bring_up_to_date(workspace, store, say)
    compare_models(workspace, store, options.A, options.B, options.output, say)


def compare_models(
    workspace: Workspace, store: Store, first: Address, second: Address, output: Path | None, say: Say
) -> None:
    """Write the page about two models and say what it finds.

    Args:
      workspace: the project.
      store: what MLflow knows of it.
      first: A.
      second: B.
      output: the page; None for a name made of both in workspace.compared_models.
      say: is told what is found.

    Raises:
      PipelineError: one of them is nothing, or no evaluation of it is stored.
    """
    params = load_params(workspace.params)
    path = output or workspace.compared_models / f"{_file_name(first)}-{_file_name(second)}.html"
    if path.is_dir():
        raise PipelineError("--output names a folder.", expected="a file to write", found=str(path))
    evaluate = params.evaluate
    with Finder(workspace, store) as finder:
        models = [_compared(finder, address) for address in (first, second)]
        for letter, each in zip("AB", models, strict=True):
            say(f"{letter}: {each.side.asked}: {each.side.card.candidate} of {each.side.origin}")
        pair = ModelPair(
            first=models[0].side,
            second=models[1].side,
            same_data=_same_data(*models),
            images=_images(*models),
            bootstrap=Bootstrap(evaluate.bootstrap_samples, evaluate.confidence, params.seed),
        )
        document = pair_document(pair)
        pictures = {chart.name: figure_png(chart.figure) for chart in document.charts()}
        page = render_page(document, pictures, {})
    write_text(path, page)
    finding = document.sections[0].blocks[0]
    assert isinstance(finding, Finding)
    say(finding.text.replace("\u00a0", " "))
    say(f"written to {os.path.relpath(path)}")


@dataclass(frozen=True)
class _Model:
    """A model to compare.

    Attributes:
      side: what the page needs of it.
      raw_data: DVC's hash of the images that it was made from; empty where that is not known.
      test_data: DVC's hash of its test arrays; empty where that is not known.
      read_images: its test images; None where they are gone.
    """

    side: ComparedModel
    raw_data: str
    test_data: str
    read_images: Callable[[], UInt8[np.ndarray, "n h w c"] | None]


def _compared(finder: Finder, address: Address) -> _Model:
    """Raises PipelineError where no evaluation of the model is stored."""
    found = finder.find(address)
    try:
        return _from_outputs(str(address), evaluated_model(finder, found))
    except MissingEvaluationError:
        version = _version_of(finder, found)
        if version is None:
            raise
        return _from_registry(finder, str(address), version)


def _from_outputs(asked: str, model: EvaluatedModel) -> _Model:
    outputs, workspace = model.outputs, model.outputs.workspace
    stages = [outputs.lock.stages[name].params for name in _DATA_STAGES if name in outputs.lock.stages]
    data = {key: value for params in stages for key, value in params.items()}

    def read_images() -> UInt8[np.ndarray, "n h w c"] | None:
        path = outputs.find(workspace.subset("test") / IMAGES_FILE)
        return None if path is None else np.load(path, mmap_mode="r")

    return _Model(
        side=ComparedModel(
            asked=asked,
            origin=model.origin,
            card=model.card,
            params=as_text({**data, **model.card.hyperparameters}),  # those that a search has found
            scores=model.scores,
            test=model.predictions["test"],
            history=None if model.history is None else History.load(model.history),
        ),
        raw_data=outputs.hash_of(workspace.fetched),
        test_data=outputs.hash_of(workspace.subset("test")),
        read_images=read_images,
    )


def _version_of(finder: Finder, found: Found) -> InRegistry | None:
    """The registered version of a model; None where it was never registered."""
    if isinstance(found, InRegistry):
        return found
    if not finder.store.exists:
        return None
    with finder.store.failures_as_unavailable():
        versions = finder.index.versions_of({finder.digest(found): ""})
    return next((InRegistry(each.name, each.version) for each, _ in versions), None)


def _from_registry(finder: Finder, asked: str, found: InRegistry) -> _Model:
    """A model of which MLflow has all that is left. Raises PipelineError."""
    registry = finder.registry(found.name)
    version = registry.version(found.version)
    test = registry.evidence(version).predictions["test"]
    folder = finder.scratch / f"compared-{found.name}-{found.version}"
    folder.mkdir(parents=True, exist_ok=True)
    card = ModelCard.load(download_version(finder.store, found.name, found.version, folder) / CARD_FILE)
    history = registry.run_file(version, HISTORY_FILE, folder)
    lineage = lineage_of(finder, found)
    assert isinstance(lineage, ModelLineage)
    scores: dict[str, dict[str, float]] = {subset: {} for subset in ("validation", "test")}
    for key, value in lineage.scores.items():
        subset, _, score = key.partition("_")
        scores[subset][score] = value
    described = f"{found} in MLflow"
    return _Model(
        side=ComparedModel(
            asked=asked,
            origin=described,
            card=card,
            params=lineage.params,
            scores=parse_scores({asked: scores}, described[0].upper() + described[1:])[asked],
            test=test,
            history=None if history is None else History.load(history),
        ),
        raw_data="",
        test_data="",
        read_images=lambda: _images_here(finder.workspace, test),
    )


def _images_here(workspace: Workspace, test: Predictions) -> UInt8[np.ndarray, "n h w c"] | None:
    """The test images of the working tree, if they are those that were predicted."""
    folder = workspace.subset("test")
    if not ImageArrays.is_there(folder):
        return None
    here = ImageArrays.load(folder)
    same = np.array_equal(here.ids, test.ids) and np.array_equal(here.labels, test.labels)
    return here.images if same else None


def _same_data(first: _Model, second: _Model) -> bool:
    """Whether the numbers of their test images mean the same images; so it is taken where nobody knows."""
    pairs = ((first.raw_data, second.raw_data), (first.test_data, second.test_data))
    known = [ours == theirs for ours, theirs in pairs if ours and theirs]
    return any(known) or not known


def _images(first: _Model, second: _Model) -> UInt8[np.ndarray, "n h w c"] | None:
    for each in (first, second):
        images = each.read_images()
        if images is not None and len(images) == len(first.side.test):
            return images
    return None


def _file_name(address: Address) -> str:
    return _UNFIT_FOR_FILE_NAMES.sub("-", str(address)).strip("-")
