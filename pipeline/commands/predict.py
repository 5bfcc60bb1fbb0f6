"""`python -m pipeline predict`: what an exported model says about images, one after the other.

It starts in well under a second and needs little memory for any number of images: nothing but the
runtime of the exported file is imported, and every image is read, predicted, printed and forgotten.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.text import Text

from pipeline.foundation.errors import EXIT_FAILURE, PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.images.decoding import EXTENSIONS, UnreadableImageError
from pipeline.inference.exported_model import EXPORT_FILE, ExportedModel, published
from pipeline.inference.predictor import load_predictor, preferred_format

STANDARD_INPUT = "-"
_SUFFIXES = {f".{extension}" for extension in EXTENSIONS.values()} | {".jpeg", ".tiff"}
_NAME_WIDTH, _CLASS_WIDTH, _BAR_WIDTH = 40, 24, 24


@dataclass(frozen=True)
class _Answer:
    """What there is to say about one image.

    Attributes:
      image: its name, as it was given.
      top: (class, probability), the most probable first; empty where it could not be read.
      error: why it could not be read; empty where it could.
    """

    image: str
    top: tuple[tuple[str, float], ...] = ()
    error: str = ""


Show = Callable[[_Answer], None]


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
        for name, read in _named_images(images):
            try:
                pixels = exported.preprocessing.apply(read())
            except (OSError, UnreadableImageError) as error:
                failed = True
                show(_Answer(name, error=getattr(error, "strerror", None) or str(error)))
                continue
            probabilities = predictor.predict(pixels[np.newaxis])[0]
            order = np.argsort(-probabilities, kind="stable")[:top]
            show(_Answer(name, tuple((classes[index], float(probabilities[index])) for index in order)))
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


def _named_images(given: Sequence[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The name of every image and what reads it, in the order given, folders sorted by name."""
    for name in given:
        path = Path(name)
        if name == STANDARD_INPUT:
            yield "standard input", sys.stdin.buffer.read
        elif path.is_dir():
            found = False
            for file in _files(path):
                found = True
                yield str(file), file.read_bytes
            if not found:
                yield name, _no_image
        else:
            yield name, path.read_bytes


def _files(folder: Path) -> Iterator[Path]:
    """All image files below a folder, by their extensions."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(parent, name) for name in sorted(names) if Path(name).suffix.lower() in _SUFFIXES)


def _no_image() -> bytes:
    raise UnreadableImageError("no image in this folder")


def _print_json(answer: _Answer) -> None:
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
        f"{100 * scores['accuracy']:.2f} % [{100 * scores['accuracy_low']:.2f}, "
        f"{100 * scores['accuracy_high']:.2f}] of {scores['images']:,.0f} test images",
        style="dim",
    )
    class_width = min(max(map(len, exported.preprocessing.classes)), _CLASS_WIDTH)

    def show(answer: _Answer) -> None:
        if answer.error:
            console.print(Text.assemble(_fitted(answer.image, _NAME_WIDTH), "  ", (answer.error, "red")))
        for number, (name, probability) in enumerate(answer.top):
            label = _fitted(answer.image if number == 0 else "", _NAME_WIDTH)
            style = "bold" if number == 0 else "dim"
            console.print(
                Text.assemble(
                    label,
                    "  ",
                    (_fitted(name, class_width), style),
                    "  ",
                    (_bar(probability), "cyan" if number == 0 else "dim cyan"),
                    (f" {100 * probability:5.1f} %", style),
                )
            )

    return show


def _bar(share: float) -> str:
    """A bar of _BAR_WIDTH characters, in steps of an eighth of one."""
    eighths = round(8 * _BAR_WIDTH * share)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(_BAR_WIDTH)


def _fitted(text: str, width: int) -> str:
    """Of exactly `width` characters; of a longer text the end, which tells images apart."""
    return text.ljust(width) if len(text) <= width else "…" + text[1 - width :]
