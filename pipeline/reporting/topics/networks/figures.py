"""A network drawn from its card: layers gathered into blocks, from the image down to the answer."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from pipeline.inference.model_card import LayerSummary
from pipeline.reporting.house_style import BLUE, INK, MUTED, NARROW, in_house_style, new_figure
from pipeline.reporting.wording import quantity, shape

_MOST_BLOCKS = 16
_FROZEN = "#9aa0a6"
_LONGEST_LABEL = 46
"""Characters that fit beside the bars."""


@dataclass(frozen=True)
class NetworkBlock:
    """Consecutive layers with outputs of the same size.

    Attributes:
      kinds: kinds of layers with how often they occur, those with most weights first, then in order.
    """

    output_shape: tuple[int, ...]
    kinds: tuple[tuple[str, int], ...]
    parameters: int
    trainable: bool


def network_blocks(layers: Sequence[LayerSummary]) -> list[NetworkBlock]:
    """Gather layers by output shape, or by its first size alone where that would give too many blocks."""
    blocks = _gather(layers, lambda layer: layer.output_shape)
    if len(blocks) > _MOST_BLOCKS:
        blocks = _gather(layers, lambda layer: (len(layer.output_shape), layer.output_shape[:1]))
    return blocks


@in_house_style
def network_figure(layers: Sequence[LayerSummary], title: str) -> Figure:
    """Every block as a bar: height and width of its output in the bar's width, labels beside it.

    Blocks with weights that were trained are blue, those whose weights stayed frozen gray, those
    without weights white.
    """
    blocks = network_blocks(layers)
    step = 0.52
    figure = new_figure(NARROW, 0.9 + step * len(blocks))
    axes = figure.add_subplot()
    widest = max(math.sqrt(math.prod(block.output_shape)) for block in blocks)
    for row, block in enumerate(blocks):
        width = max(0.12, math.sqrt(math.prod(block.output_shape)) / widest)
        axes.add_patch(
            Rectangle(
                (-width / 2, row - 0.32), width, 0.64, facecolor=_color(block), edgecolor=INK, linewidth=0.8
            )
        )
        size, weights = shape(block.output_shape), f"{quantity(block.parameters)} weights"
        axes.text(0.6, row - 0.16, size, va="center", fontsize=9.5, fontweight="bold")
        if block.parameters:
            axes.text(2.3, row - 0.16, weights, va="center", ha="right", fontsize=8.5)
        axes.text(0.6, row + 0.2, _kinds(block), va="center", fontsize=8.0, color=MUTED)
        if row:
            axes.add_patch(
                FancyArrowPatch(
                    (0, row - 0.68), (0, row - 0.32), arrowstyle="-|>", mutation_scale=8, color=MUTED
                )
            )
    axes.set_xlim(-0.52, 2.3)
    axes.set_ylim(len(blocks) - 0.5, -0.6)
    axes.set_axis_off()
    axes.set_title(title, wrap=True)
    handles = _legend(blocks)
    axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, 0), ncols=len(handles), handlelength=1.0
    )
    return figure


def _gather(layers: Sequence[LayerSummary], key: Callable[[LayerSummary], object]) -> list[NetworkBlock]:
    return [_block(list(group)) for _, group in groupby(layers, key=key)]


def _block(layers: list[LayerSummary]) -> NetworkBlock:
    counts = Counter(layer.kind for layer in layers)
    weights: Counter[str] = Counter()
    for layer in layers:
        weights[layer.kind] += layer.parameters
    return NetworkBlock(
        output_shape=layers[-1].output_shape,
        kinds=tuple(sorted(counts.items(), key=lambda item: -weights[item[0]])),
        parameters=sum(layer.parameters for layer in layers),
        trainable=any(layer.trainable and layer.parameters for layer in layers),
    )


def _color(block: NetworkBlock) -> str:
    if not block.parameters:
        return "white"
    return BLUE if block.trainable else _FROZEN


def _kinds(block: NetworkBlock) -> str:
    """The block's kinds of layers, as many as fit."""
    kinds = [f"{count}× {kind}" if count > 1 else kind for kind, count in block.kinds]
    shown = len(kinds)
    while shown > 1 and len(", ".join(kinds[:shown])) > _LONGEST_LABEL:
        shown -= 1
    return ", ".join(kinds[:shown]) + (", …" if shown < len(kinds) else "")


def _legend(blocks: Sequence[NetworkBlock]) -> list[Rectangle]:
    meanings = {BLUE: "trained", _FROZEN: "frozen", "white": "no weights"}
    present = {_color(block) for block in blocks}
    return [
        Rectangle((0, 0), 1, 1, facecolor=color, edgecolor=INK, linewidth=0.8, label=meaning)
        for color, meaning in meanings.items()
        if color in present
    ]
