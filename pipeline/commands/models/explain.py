"""`python -m pipeline explain`: what a trained model looks at in anybody's images."""

import argparse
import dataclasses
import itertools
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from pipeline.commands.addresses.address import BEST, Address, add_address, asks_mlflow
from pipeline.commands.addresses.finding import Finder
from pipeline.commands.addresses.trained_files import trained_files
from pipeline.commands.models.explained_figure import explained_figure
from pipeline.commands.models.image_arguments import add_images, named_images, why_unreadable
from pipeline.commands.models.predicted_image import (
    PredictedImage,
    class_column,
    most_probable,
    print_prediction,
)
from pipeline.commands.runs.sync import bring_up_to_date
from pipeline.commands.terminal import say, say_aside
from pipeline.explanation.job import ExplainJob, ExplainResult
from pipeline.foundation.errors import EXIT_FAILURE, PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.images.decoding import UnreadableImageError
from pipeline.inference.model_card import ModelCard
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.params.whole import Params, load_params
from pipeline.processes.child_process import Say
from pipeline.reporting.house_style import save_figure
from pipeline.reporting.wording import counted
from pipeline.scoring.explanations import INPUT_LAYER
from pipeline.tracking.store import Store

_PIXELS = "images.npy"
_SHOWN_SIDE = 320
"""Pixels of the picture beside the probabilities: cut as the network's own, with more to see."""


@dataclass(frozen=True)
class _GivenImage:
    """An image as it was given: its name, what reads it, and why that failed; empty where it did not."""

    name: str
    read: Callable[[], bytes]
    error: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_images(parser)
    add_address(parser, "--model", metavar="MODEL", role=f"the model to ask (default: {BEST})")
    parser.add_argument(
        "--class",
        metavar="CLASS",
        dest="class_name",
        help="show what speaks for this class (default: the most probable one)",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where to put the pictures (default: explanations)"
    )


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Show what a trained model looks at: a picture of each image with its heatmap and the probabilities."""
    if options.model and asks_mlflow(options.model):
        bring_up_to_date(workspace, store, say_aside)
    return explain(
        workspace,
        store,
        options.images,
        options.model,
        options.class_name,
        options.output,
        options.top,
        say,
    )


def explain(
    workspace: Workspace,
    store: Store,
    images: Sequence[str],
    model: Address | None,
    class_name: str | None,
    output: Path | None,
    top: int,
    say: Say,
) -> int:
    """Write a PNG file for each image, with its heatmap and probabilities, and print a table of all.

    Args:
      workspace: where the models are.
      store: where registered ones are.
      images: files, folders (all image files below them), or - for one image on standard input.
      model: what to ask; None for the best of the working tree.
      class_name: the class that the heatmaps speak for; None for each image's most probable one.
      output: the folder of the pictures; None for workspace.explained_images.
      top: how many classes to print.
      say: is told what is being done.

    Returns:
      0, or EXIT_FAILURE where some image could not be read; the others are explained all the same.

    Raises:
      PipelineError: there is no such model or class, or a picture cannot be written.
    """
    params = load_params(workspace.params)
    pictures = workspace.explained_images if output is None else output
    if pictures.exists() and not pictures.is_dir():
        raise PipelineError("--output names a file.", expected="a folder, or none yet", found=str(pictures))
    with Finder(workspace, store) as finder:
        found = finder.find(model) if model else finder.best()
        files, scratch = trained_files(finder, found), finder.scratch
        card = files.card
        label = _label(card, class_name)
        sources = _prepare(images, card.preprocessing, scratch / _PIXELS)
        readable = sum(not source.error for source in sources)
        if readable:
            say(f"explaining {counted(readable, 'image')}; loading TensorFlow takes some seconds")
        explained = _explained(params, files.folder, scratch, readable, label, say) if readable else None
    _show(sources, explained, card, label, pictures, top)
    return EXIT_FAILURE if readable < len(sources) else 0


def _label(card: ModelCard, class_name: str | None) -> int | None:
    """The number of a class. Raises PipelineError where the model has none of that name."""
    classes = card.preprocessing.classes
    if class_name is not None and class_name not in classes:
        raise PipelineError(
            f"{card.candidate} has no class '{class_name}'.", expected="one of " + ", ".join(classes)
        )
    return None if class_name is None else classes.index(class_name)


def _prepare(images: Sequence[str], preprocessing: PreprocessingSpec, path: Path) -> list[_GivenImage]:
    """Read all images and write the pixels of those that can be read, in order, to an npy file."""
    named = list(named_images(images))
    pixels = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.uint8, shape=(len(named), *preprocessing.shape)
    )
    sources: list[_GivenImage] = []
    readable = 0
    for name, read in named:
        error = ""
        try:
            pixels[readable] = preprocessing.apply(read())
            readable += 1
        except (OSError, UnreadableImageError) as caught:
            error = why_unreadable(caught)
        sources.append(_GivenImage(name, read, error))
    pixels.flush()
    return sources


def _explained(
    params: Params, folder: Path, scratch: Path, count: int, label: int | None, say: Say
) -> ExplainResult:
    job = ExplainJob(
        model=folder.resolve(),
        images=scratch / _PIXELS,
        count=count,
        probabilities=scratch / "probabilities.npy",
        heatmaps=scratch / "heatmaps.npy",
        method=params.evaluate.heatmap_method,
        layer=params.evaluate.heatmap_layer,
        label=label,
        batch_size=params.evaluate.batch_size,
        threads=params.threads,
    )
    return job.run(say)


def _show(
    sources: Sequence[_GivenImage],
    explained: ExplainResult | None,
    card: ModelCard,
    label: int | None,
    pictures: Path,
    top: int,
) -> None:
    """Write a picture of every image that could be read and print what the model says of it."""
    console = Console(highlight=False, soft_wrap=True, markup=False)
    classes = card.preprocessing.classes
    if explained is not None:
        origin = "gradients by the pixels" if explained.layer == INPUT_LAYER else f"layer {explained.layer}"
        console.print(f"{card.candidate}: {card.network}; heatmaps from {origin}", style="dim")
    larger = dataclasses.replace(
        card.preprocessing, image_size=max(_SHOWN_SIDE, card.preprocessing.image_size)
    )
    rows, names = itertools.count(), Counter[str]()
    for source in sources:
        if source.error or explained is None:
            print_prediction(console, PredictedImage(source.name, error=source.error), class_column(classes))
            continue
        row = next(rows)
        answer = most_probable(explained.probabilities[row], classes, len(classes))
        asked = answer[0][0] if label is None else classes[label]
        figure = explained_figure(
            larger.apply(source.read()), explained.heatmaps[row], answer, asked, source.name
        )
        picture = pictures / _file_name(source.name, names)
        save_figure(figure, picture)
        print_prediction(console, PredictedImage(source.name, answer[:top]), class_column(classes))
        console.print(f"  {os.path.relpath(picture)}", style="dim")


def _file_name(image: str, taken: Counter[str]) -> str:
    """A name of its own for the picture of an image; images of two folders may be called alike."""
    name = f"{Path(image).stem.replace(' ', '-')}-explained"
    taken[name] += 1
    return f"{name}.png" if taken[name] == 1 else f"{name}-{taken[name]}.png"
