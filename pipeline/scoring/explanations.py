"""What a network looks at: heatmaps, feature maps, filters and maps of its features, as arrays."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal, cast

import numpy as np

from pipeline.foundation.array_types import Float32, Int64
from pipeline.foundation.files import atomic_path, require
from pipeline.params.evaluate import HeatmapMethod

INPUT_LAYER = "input"
INPUT_GRADIENT: Final = "input_gradient"
"""Layer and method of the heatmaps of a network without convolutions: the score's gradient by the pixels."""

UsedMethod = HeatmapMethod | Literal["input_gradient"]

_FEATURE_MAPS, _FEATURE_CHANNELS = "feature_maps/", "feature_channels/"


@dataclass(frozen=True, kw_only=True)
class Explanations:
    """What one candidate looks at in images of the test subset. Rows are those of its arrays, ascending.

    Attributes:
      rows: images that have a heatmap: the most confident mistakes, images that every
        candidate gets wrong, and right answers spread over the classes.
      heatmaps: for the predicted class, in the layer's own resolution, each divided by its maximum; all
        zero where nothing speaks for the class.
      heatmap_method: that of the params, or INPUT_GRADIENT.
      heatmap_layer: the layer they are taken from, or INPUT_LAYER.
      feature_rows: images whose feature maps are kept.
      feature_maps: by layer, the first one first, its strongest channels.
      feature_channels: by layer, which channels those are.
      filters: kernels of the first convolution (height, width, input channels, filters), None where there
        is none.
      map_rows: images that the two maps show.
      pca: the first two principal components of the penultimate features.
      tsne: t-SNE of the same features.
      explained_variance: the share of the variance along each axis of `pca`.
    """

    rows: Int64[np.ndarray, " m"]
    heatmaps: Float32[np.ndarray, "m h w"]
    heatmap_method: UsedMethod
    heatmap_layer: str
    feature_rows: Int64[np.ndarray, " p"]
    feature_maps: dict[str, Float32[np.ndarray, "p _ _ _"]]
    feature_channels: dict[str, Int64[np.ndarray, " _"]]
    filters: Float32[np.ndarray, "_ _ c f"] | None
    map_rows: Int64[np.ndarray, " q"]
    pca: Float32[np.ndarray, "q 2"]
    tsne: Float32[np.ndarray, "q 2"]
    explained_variance: Float32[np.ndarray, "2"]

    def __post_init__(self) -> None:
        for rows in (self.rows, self.feature_rows, self.map_rows):
            assert rows.dtype == np.int64
            assert (np.diff(rows) > 0).all(), "ascending, each once"
        for array in (self.heatmaps, self.pca, self.tsne, self.explained_variance):
            assert array.dtype == np.float32
        assert self.heatmaps.ndim == 3
        assert len(self.heatmaps) == len(self.rows)
        assert self.pca.shape == self.tsne.shape == (len(self.map_rows), 2)
        assert self.feature_maps.keys() == self.feature_channels.keys()
        for layer, maps in self.feature_maps.items():
            assert maps.shape == (
                len(self.feature_rows),
                *maps.shape[1:3],
                len(self.feature_channels[layer]),
            ), maps.shape

    def save(self, path: Path) -> None:
        """Write one npz file, uncompressed: the same explanations give the same bytes."""
        arrays = {
            field.name: np.asarray(getattr(self, field.name))
            for field in fields(self)
            if field.name not in ("feature_maps", "feature_channels", "filters")
        }
        if self.filters is not None:
            arrays["filters"] = self.filters
        for layer, maps in self.feature_maps.items():
            arrays[_FEATURE_MAPS + layer] = maps
            arrays[_FEATURE_CHANNELS + layer] = self.feature_channels[layer]
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Explanations":
        """Raises PipelineError where the file is missing."""
        with np.load(require(path)) as file:
            layers = [key.removeprefix(_FEATURE_MAPS) for key in file.files if key.startswith(_FEATURE_MAPS)]
            return cls(
                rows=file["rows"],
                heatmaps=file["heatmaps"],
                heatmap_method=cast(UsedMethod, str(file["heatmap_method"])),
                heatmap_layer=str(file["heatmap_layer"]),
                feature_rows=file["feature_rows"],
                feature_maps={layer: file[_FEATURE_MAPS + layer] for layer in layers},
                feature_channels={layer: file[_FEATURE_CHANNELS + layer] for layer in layers},
                filters=file["filters"] if "filters" in file.files else None,
                map_rows=file["map_rows"],
                pca=file["pca"],
                tsne=file["tsne"],
                explained_variance=file["explained_variance"],
            )
