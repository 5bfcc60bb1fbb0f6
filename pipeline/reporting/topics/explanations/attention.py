"""Where the heatmaps of a network lie, and how that is said."""

from dataclasses import dataclass

import numpy as np

from pipeline.foundation.array_types import Float64
from pipeline.reporting.results import Candidate
from pipeline.reporting.wording import counted, listed, percent
from pipeline.scoring.explanations import Explanations
from pipeline.scoring.predictions import Predictions

_EVENLY = 0.05
"""So far from a quarter, the share of heat in the middle quarter of an image is nothing special."""


@dataclass(frozen=True)
class Attention:
    """Where the heatmaps of one network lie.

    Attributes:
      right, wrong: heatmaps of right answers and of mistakes; those where nothing speaks for the class
        are counted in `empty` alone.
      empty: heatmaps that are zero everywhere.
      right_extent, wrong_extent: median share of the image that is at least half as hot as its hottest
        place; None without such heatmaps.
      middle: mean share of the heat that lies in the middle quarter of the image, which holds 25 % of
        its area.
    """

    right: int
    wrong: int
    empty: int
    right_extent: float | None
    wrong_extent: float | None
    middle: float


def measure_attention(explanations: Explanations, predictions: Predictions) -> Attention:
    """Measure the heatmaps of one network; `predictions` are those of the test subset."""
    speaks = explanations.heatmaps.max(axis=(1, 2), initial=0.0) > 0
    heatmaps = explanations.heatmaps[speaks].astype(np.float64)
    right = predictions.right[explanations.rows[speaks]]
    extent = (heatmaps >= 0.5).mean(axis=(1, 2))
    return Attention(
        right=int(right.sum()),
        wrong=int((~right).sum()),
        empty=int((~speaks).sum()),
        right_extent=float(np.median(extent[right])) if right.any() else None,
        wrong_extent=float(np.median(extent[~right])) if (~right).any() else None,
        middle=float(np.mean(_share_in_the_middle(heatmaps))) if len(heatmaps) else 0.0,
    )


def _share_in_the_middle(heatmaps: Float64[np.ndarray, "m h w"]) -> Float64[np.ndarray, " m"]:
    """Share of each heatmap that lies in the middle half of both sides."""
    weights = [_overlap_with_middle(side) for side in heatmaps.shape[1:]]
    share: Float64[np.ndarray, " m"] = np.einsum("mhw,h,w->m", heatmaps, *weights) / heatmaps.sum(axis=(1, 2))
    return share


def _overlap_with_middle(cells: int) -> Float64[np.ndarray, " {cells}"]:
    """Which share of each of so many cells along a side lies in its middle half."""
    starts = np.arange(cells)
    overlap = np.minimum(starts + 1, 0.75 * cells) - np.maximum(starts, 0.25 * cells)
    share: Float64[np.ndarray, " {cells}"] = np.clip(overlap, 0.0, 1.0)
    return share


def attention_sentence(candidate: Candidate) -> str:
    """Where a candidate's heatmaps lie, in right answers and in mistakes."""
    measured = measure_attention(candidate.explanations, candidate.predictions)
    if not measured.right + measured.wrong:
        return f"In no image shown here does any place speak for the class that {candidate.title} names."
    extents = [
        f"{percent(extent, 0)} of the image in {group}"
        for extent, group in (
            (measured.right_extent, counted(measured.right, "right answer")),
            (measured.wrong_extent, counted(measured.wrong, "mistake")),
        )
        if extent is not None
    ]
    compared = "more than" if measured.middle > 0.25 else "less than"
    if abs(measured.middle - 0.25) <= _EVENLY:
        compared = "about as much as"
    text = (
        f"The places that are at least half as hot as the hottest one cover {listed(extents)} (medians); the "
        f"middle quarter of the image holds {percent(measured.middle, 0)} of the heat, {compared} its share "
        "of the area."
    )
    if measured.empty:
        images = counted(measured.empty, "image")
        text += f" In {images} no place speaks for the class that {candidate.title} names."
    return text
