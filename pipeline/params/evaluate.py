"""evaluate: scores, intervals and explanations."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.params.base import NonNegativeInt, PositiveInt, ProperShare, Section

HeatmapMethod = Literal["hires_cam", "grad_cam"]


class EvaluateParams(Section):
    batch_size: PositiveInt
    top_k: PositiveInt
    calibration_bins: PositiveInt
    bootstrap_samples: Annotated[int, Field(ge=100)]
    confidence: ProperShare
    heatmap_method: HeatmapMethod
    heatmap_layer: str
    heatmap_mistakes: NonNegativeInt
    heatmap_examples: NonNegativeInt
    feature_layers: Annotated[tuple[str, ...], Field(strict=False)]
    feature_map_images: PositiveInt
    map_images: PositiveInt
