"""What a model says about an image, as rows of the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.text import Text

from pipeline.foundation.array_types import Float32
from pipeline.foundation.texts import printable, shortened

_NAME_WIDTH, _CLASS_WIDTH, _BAR_WIDTH = 40, 24, 24


@dataclass(frozen=True)
class PredictedImage:
    """What there is to say about one image.

    Attributes:
      image: its name, as it was given.
      top: (class, probability), the most probable first; empty where it could not be read.
      error: why it could not be read; empty where it could.
    """

    image: str
    top: tuple[tuple[str, float], ...] = ()
    error: str = ""


def most_probable(
    probabilities: Float32[np.ndarray, " k"], classes: Sequence[str], top: int
) -> tuple[tuple[str, float], ...]:
    """The `top` most probable classes of one image with their probabilities, the most probable first."""
    order = np.argsort(-probabilities, kind="stable")[:top]
    return tuple((classes[index], float(probabilities[index])) for index in order)


def class_column(classes: Sequence[str]) -> int:
    """The width of the column with the names of classes."""
    return min(max(map(len, classes)), _CLASS_WIDTH)


def print_prediction(console: Console, answer: PredictedImage, class_width: int) -> None:
    """Print a row per class, or one with the reason why the image could not be read."""
    if answer.error:
        reason = (printable(answer.error), "red")
        console.print(Text.assemble(_fitted(answer.image, _NAME_WIDTH), "  ", reason))
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


def _bar(share: float) -> str:
    """A bar of _BAR_WIDTH characters, in steps of an eighth of one."""
    eighths = round(8 * _BAR_WIDTH * share)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(_BAR_WIDTH)


def _fitted(text: str, width: int) -> str:
    """Of exactly `width` characters; of a longer text the end, which tells images apart."""
    return shortened(printable(text), width, cut="start").ljust(width)
