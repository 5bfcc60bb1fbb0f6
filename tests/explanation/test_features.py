"""Maps of features."""

import numpy as np
import pytest
import threadpoolctl

from pipeline.explanation.features import map_features
from pipeline.foundation.array_types import Float32, Int64

Groups = tuple[Float32[np.ndarray, "90 12"], Int64[np.ndarray, "90"]]


@pytest.fixture(scope="module")
def groups() -> Groups:
    """90 points in 12 dimensions in three groups, and the number of the group of each."""
    random = np.random.default_rng(0)
    labels = np.arange(90) % 3
    centers = random.normal(0, 10, (3, 12))
    return (centers[labels] + random.normal(0, 1, (90, 12))).astype(np.float32), labels


def test_pca_agrees_with_the_eigenvectors_of_the_covariance(groups: Groups) -> None:
    features, _ = groups
    centered = features - features.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(centered.T.astype(np.float64)))
    expected = centered @ vectors[:, [-1, -2]]
    found = map_features(features, seed=0)
    np.testing.assert_allclose(np.abs(found.pca), np.abs(expected), atol=1e-3)
    np.testing.assert_allclose(found.explained_variance, values[[-1, -2]] / values.sum(), rtol=1e-5)


def test_tsne_keeps_neighbors_together(groups: Groups) -> None:
    features, labels = groups
    tsne = map_features(features, seed=0).tsne
    distances = np.linalg.norm(tsne[:, np.newaxis] - tsne, axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (labels[distances.argmin(axis=1)] == labels).all()


def test_same_bytes_with_any_number_of_threads(groups: Groups) -> None:
    features, _ = groups
    found = []
    for threads in (1, 2, 2):
        with threadpoolctl.threadpool_limits(threads):
            found.append(map_features(features, seed=3))
    for other in found[1:]:
        assert other.tsne.tobytes() == found[0].tsne.tobytes()


@pytest.mark.parametrize(("images", "width"), [(1, 5), (2, 5), (3, 5), (5, 1), (5, 2)])
def test_few_images_and_narrow_layers(images: int, width: int) -> None:
    features = np.random.default_rng(0).normal(size=(images, width)).astype(np.float32)
    found = map_features(features, seed=0)
    assert found.pca.shape == found.tsne.shape == (images, 2)
    assert np.isfinite(found.tsne).all()
    assert found.explained_variance.sum() <= 1 + 1e-6


def test_a_network_that_answers_everything_alike_has_a_map_of_one_point() -> None:
    found = map_features(np.full((359, 4), 0.1, np.float32), seed=0)
    assert not found.pca.any()
    assert not found.tsne.any()
    assert not found.explained_variance.any()
