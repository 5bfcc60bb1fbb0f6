"""Maps of images in two dimensions: near each other lies what the network takes to be alike."""

from dataclasses import dataclass

import numpy as np
import threadpoolctl
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from pipeline.foundation.array_types import Float32, Float64

_PERPLEXITY = 30.0
"""scikit-learn's own; t-SNE needs it below the number of images, of which it is at most a third."""
_COMPONENTS = 50
"""Principal components that t-SNE starts from, as its authors recommend."""
_SPREAD = 1e-4
"""Standard deviation of the first axis that t-SNE starts from, as scikit-learn has it."""


@dataclass(frozen=True)
class FeatureMap:
    """Images in two dimensions, by the features from which a network computes its answer.

    Attributes:
      pca: the first two principal components.
      explained_variance: the share of all variance along each of them.
      tsne: t-SNE (van der Maaten and Hinton, 2008), which keeps neighbors together;
        distances between groups and their sizes mean nothing.
    """

    pca: Float32[np.ndarray, "q 2"]
    explained_variance: Float32[np.ndarray, "2"]
    tsne: Float32[np.ndarray, "q 2"]


def map_features(features: Float32[np.ndarray, "q d"], seed: int) -> FeatureMap:
    """Both maps of features; where all are the same, every point is at the origin.

    OpenMP adds up in the order in which its threads finish. With a single thread the same features
    give the same bytes.
    """
    if len(features) < 2 or not np.ptp(features, axis=0).any():  # a variance would be rounded
        nowhere = np.zeros((len(features), 2), np.float32)
        return FeatureMap(nowhere, np.zeros(2, np.float32), nowhere)
    with threadpoolctl.threadpool_limits(limits=1, user_api="openmp"):
        pca = PCA(min(_COMPONENTS, *features.shape), svd_solver="full").fit(features.astype(np.float64))
        components = _at_least_two_columns(pca.transform(features))
        plane = components[:, :2]
        shares = _at_least_two_columns(pca.explained_variance_ratio_[np.newaxis])[0, :2]
        tsne = TSNE(
            perplexity=min(_PERPLEXITY, len(features) / 3),
            init=(plane * (_SPREAD / plane[:, 0].std())).astype(np.float32),
            random_state=seed,
            n_jobs=1,
        ).fit_transform(components.astype(np.float32))
    return FeatureMap(plane.astype(np.float32), shares.astype(np.float32), tsne.astype(np.float32))


def _at_least_two_columns(values: Float64[np.ndarray, "q d"]) -> Float64[np.ndarray, "q columns"]:
    """Zeros beside the one component that a single feature, or two images, have."""
    return values if values.shape[1] > 1 else np.pad(values, ((0, 0), (0, 1)))
