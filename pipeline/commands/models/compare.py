"""`python -m pipeline compare`: two models side by side in one page."""

import os
import re
import tempfile
from pathlib import Path

import numpy as np

from pipeline.commands.models.compared_models import FoundModel, ModelFinder
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import write_text
from pipeline.foundation.workspace import Workspace
from pipeline.params.whole import load_params
from pipeline.processes.child_process import Say
from pipeline.reporting.document import Finding
from pipeline.reporting.house_style import figure_png
from pipeline.reporting.page import render_page
from pipeline.scoring.intervals import Bootstrap
from pipeline.side_by_side import ModelPair, pair_document

_UNFIT_FOR_FILE_NAMES = re.compile(r"[^\w.@-]+")


def compare_models(workspace: Workspace, first: str, second: str, output: Path | None, say: Say) -> None:
    """Write the page about two models and say what it finds.

    Args:
      workspace: the project.
      first: A; see `ModelFinder.find` for what it may be.
      second: B.
      output: the page; None for a name made of both in workspace.compared_models.
      say: is told what is found.

    Raises:
      PipelineError: one of them is nothing, or nothing is stored of it.
    """
    params = load_params(workspace.params)
    path = output or workspace.compared_models / f"{_file_name(first)}-{_file_name(second)}.html"
    if path.is_dir():
        raise PipelineError("--output names a folder.", expected="a file to write", found=str(path))
    evaluate = params.evaluate
    with tempfile.TemporaryDirectory() as scratch:
        finder = ModelFinder(workspace, params, Path(scratch))
        found = [finder.find(what) for what in (first, second)]
        for letter, each in zip("AB", found, strict=True):
            say(f"{letter}: {each.side.asked}: {each.side.card.candidate} of {each.side.origin}")
        pair = ModelPair(
            first=found[0].side,
            second=found[1].side,
            same_data=_same_data(*found),
            images=_images(*found),
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


def _same_data(first: FoundModel, second: FoundModel) -> bool:
    """Whether the numbers of their test images mean the same images; so it is taken where nobody knows."""
    pairs = ((first.raw_data, second.raw_data), (first.test_data, second.test_data))
    known = [ours == theirs for ours, theirs in pairs if ours and theirs]
    return any(known) or not known


def _images(first: FoundModel, second: FoundModel) -> np.ndarray | None:
    for each in (first, second):
        images = each.read_images()
        if images is not None and len(images) == len(first.side.test):
            return images
    return None


def _file_name(what: str) -> str:
    return _UNFIT_FOR_FILE_NAMES.sub("-", what).strip("-")
