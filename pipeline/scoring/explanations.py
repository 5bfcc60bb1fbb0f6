"""What a network looks at: heatmaps, feature maps, filters and maps of its features, as arrays."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from pipeline.foundation.files import atomic_path, require

INPUT_LAYER, INPUT_GRADIENT = "input", "input_gradient"
"""Layer and method of the heatmaps of a network without convolutions: the score's gradient by the pixels."""

_FEATURE_MAPS, _FEATURE_CHANNELS = "feature_maps/", "feature_channels/"


@dataclass(frozen=True, kw_only=True)
class Explanations:
    """What one candidate looks at in images of the test subset. Rows are those of its arrays, ascending.

    Attributes:
      rows: int64, (M,); images that have a heatmap: the most confident mistakes, images that every
        candidate gets wrong, and right answers spread over the classes.
      heatmaps: float32, (M, h, w); for the predicted class, in the layer's own resolution, each divided
        by its maximum; all zero where nothing speaks for the class.
      heatmap_method: hires_cam, grad_cam, or INPUT_GRADIENT.
      heatmap_layer: the layer they are taken from, or INPUT_LAYER.
      feature_rows: int64, (P,); images whose feature maps are kept.
      feature_maps: layer, the first one first, to float32, (P, h, w, C); its C strongest channels.
      feature_channels: layer to int64, (C,); which channels those are.
      filters: float32, (height, width, input channels, F); kernels of the first convolution, None where
        there is none.
      map_rows: int64, (Q,); images that the two maps show.
      pca: float32, (Q, 2); the first two principal components of the penultimate features.
      tsne: float32, (Q, 2); t-SNE of the same features.
      explained_variance: float32, (2,); the share of the variance along each axis of `pca`.
    """

    rows: np.ndarray
    heatmaps: np.ndarray
    heatmap_method: str
    heatmap_layer: str
    feature_rows: np.ndarray
    feature_maps: dict[str, np.ndarray]
    feature_channels: dict[str, np.ndarray]
    filters: np.ndarray | None
    map_rows: np.ndarray
    pca: np.ndarray
    tsne: np.ndarray
    explained_variance: np.ndarray

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
                heatmap_method=str(file["heatmap_method"]),
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
