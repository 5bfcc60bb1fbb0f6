"""`python -m pipeline predict`: what an exported model says about images, one after the other.

It starts in well under a second and needs little memory for any number of images: nothing but the
runtime of the exported file is imported, and every image is read, predicted, printed and forgotten.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from pipeline.commands.models.answers import Answer, class_column, most_probable, print_answer
from pipeline.commands.models.image_arguments import named_images, why_unreadable
from pipeline.foundation.errors import EXIT_FAILURE, PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.images.decoding import UnreadableImageError
from pipeline.inference.exported_model import EXPORT_FILE, ExportedModel, published
from pipeline.inference.predictor import load_predictor, preferred_format

Show = Callable[[Answer], None]


def predict(
    workspace: Workspace,
    images: Sequence[str],
    model: str | None,
    top: int,
    as_json: bool,
    format_name: str | None,
) -> int:
    """Predict images and print each as soon as it is done.

    Args:
      workspace: where exports are.
      images: files, folders (all image files below them), or - for one image on standard input.
      model: folder of an export, or its <name> (the latest version) or <name>/<version> below
        workspace.exports; None for the published one.
      top: how many classes to print.
      as_json: a line of JSON per image instead of a table.
      format_name: of the exported file to predict with; None for the preferred one.

    Returns:
      0, or EXIT_FAILURE where some image could not be read; the others are printed all the same.

    Raises:
      PipelineError: there is no such model, or it cannot be run.
    """
    if top < 1:
        raise PipelineError("--top is a number of classes.", expected="at least 1", found=str(top))
    folder = _folder(workspace.exports, model)
    exported = ExportedModel.load(folder)
    chosen = format_name or preferred_format(tuple(exported.files))
    predictor = load_predictor(exported, folder, chosen)
    show = _print_json if as_json else _table(exported, chosen)
    classes, failed = exported.preprocessing.classes, False
    try:
        for name, read in named_images(images):
            try:
                pixels = exported.preprocessing.apply(read())
            except (OSError, UnreadableImageError) as error:
                failed = True
                show(Answer(name, error=why_unreadable(error)))
                continue
            probabilities = predictor.predict(pixels[np.newaxis])[0]
            show(Answer(name, most_probable(probabilities, classes, top)))
    except BrokenPipeError:  # whoever read the answers, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_FAILURE if failed else 0


def _folder(exports: Path, model: str | None) -> Path:
    """The folder of export.json. Raises PipelineError where there is none."""
    if model is None:
        return published(exports)
    for folder in (Path(model).expanduser(), exports / model):
        if (folder / EXPORT_FILE).exists():
            return folder
        versions = [int(path.parent.name) for path in folder.glob(f"*/{EXPORT_FILE}") if _is_version(path)]
        if versions:
            return folder / str(max(versions))
    names = sorted({path.parent.parent.name for path in exports.glob(f"*/*/{EXPORT_FILE}")})
    raise PipelineError(
        f"There is no exported model '{model}'.",
        expected=f"a folder with {EXPORT_FILE}" + (f", or one of {', '.join(names)}" if names else ""),
        remedy="python -m pipeline export, which makes one",
    )


def _is_version(export_file: Path) -> bool:
    return export_file.parent.name.isdecimal()


def _print_json(answer: Answer) -> None:
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
    return lambda answer: print_answer(console, answer, class_width)
