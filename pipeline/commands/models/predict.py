"""`python -m pipeline predict`: what an exported model says about images, one after the other.

It starts in well under a second and needs little memory for any number of images: nothing but the
runtime of the exported file is imported, and every image is read, predicted, printed and forgotten.
"""

import argparse
import json
from collections.abc import Callable, Sequence

import numpy as np
from rich.console import Console

from pipeline.commands.addresses.address import Address
from pipeline.commands.addresses.exported import add_exported, exported_folder
from pipeline.commands.models.image_arguments import add_images, named_images, why_unreadable
from pipeline.commands.models.predicted_image import (
    PredictedImage,
    class_column,
    most_probable,
    print_prediction,
)
from pipeline.foundation.errors import EXIT_FAILURE
from pipeline.foundation.workspace import Workspace
from pipeline.images.decoding import UnreadableImageError
from pipeline.inference.exported_model import ExportedModel
from pipeline.inference.predictor import load_predictor, preferred_format
from pipeline.processes.native_output import native_stderr_silenced
from pipeline.tracking.store import Store

Show = Callable[[PredictedImage], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_images(parser)
    add_exported(parser)
    parser.add_argument("--json", action="store_true", help="a line of JSON for each image")


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Predict images with an exported model; an image that cannot be read costs its own line only."""
    return predict(workspace, store, options.images, options.model, options.top, options.json, options.format)


def predict(
    workspace: Workspace,
    store: Store,
    images: Sequence[str],
    model: Address | None,
    top: int,
    as_json: bool,
    format_name: str | None,
) -> int:
    """Predict images and print each as soon as it is done.

    Args:
      workspace: where exports are.
      store: asked where a model can only be known by MLflow.
      images: files, folders (all image files below them), or - for one image on standard input.
      model: what to ask, which has been exported; None for the export published last.
      top: how many classes to print.
      as_json: a line of JSON per image instead of a table.
      format_name: of the exported file to predict with; None for the preferred one.

    Returns:
      0, or EXIT_FAILURE where some image could not be read; the others are printed all the same.

    Raises:
      PipelineError: there is no such model, or it cannot be run.
    """
    folder = exported_folder(workspace, store, model)
    exported = ExportedModel.load(folder)
    chosen = format_name or preferred_format(exported)
    predictor = load_predictor(exported, folder, chosen)
    show = _print_json if as_json else _table(exported, chosen)
    classes, failed = exported.preprocessing.classes, False
    for name, read in named_images(images):
        try:
            with native_stderr_silenced():  # libtiff tells what it thinks of a file
                pixels = exported.preprocessing.apply(read())
        except (OSError, UnreadableImageError) as error:
            failed = True
            show(PredictedImage(name, error=why_unreadable(error)))
            continue
        probabilities = predictor.predict(pixels[np.newaxis])[0]
        show(PredictedImage(name, most_probable(probabilities, classes, top)))
    return EXIT_FAILURE if failed else 0


def _print_json(answer: PredictedImage) -> None:
    if answer.error:
        line: dict[str, object] = {"image": answer.image, "error": answer.error}
    else:
        predictions = [{"class": name, "probability": round(value, 6)} for name, value in answer.top]
        line = {"image": answer.image, "predictions": predictions}
    print(json.dumps(line, ensure_ascii=False), flush=True)


def _table(exported: ExportedModel, format_name: str) -> Show:
    """Prints which model answers; returns what prints an answer as a row, or a few."""
    # Wide enough for a row, also where the answers go to a file.
    console = Console(highlight=False, soft_wrap=True, markup=False)
    scores = exported.scores
    console.print(
        f"{exported.name} {exported.version}: {exported.network}, {format_name}, "
        f"{100 * scores.accuracy:.2f} % [{100 * scores.accuracy_low:.2f}, "
        f"{100 * scores.accuracy_high:.2f}] of {scores.images:,} test images",
        style="dim",
    )
    class_width = class_column(exported.preprocessing.classes)
    return lambda answer: print_prediction(console, answer, class_width)
