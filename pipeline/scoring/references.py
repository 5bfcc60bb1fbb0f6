"""Two references that show what a score is worth: a model without images, and one without a network."""

import warnings
from collections.abc import Iterator, Mapping

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from pipeline.foundation.array_types import Float64, Int64, UInt8
from pipeline.images.arrays import ImageArrays
from pipeline.scoring.predictions import Predictions

MAX_TRAIN_IMAGES = 10_000
GRID = 8
_IMAGES_AT_ONCE = 256
_MAX_ITERATIONS = 500


def majority_class(
    train_labels: Int64[np.ndarray, " _"], subset: ImageArrays, num_classes: int
) -> Predictions:
    """Every image gets the classes' shares among `train_labels`, so that the commonest class is predicted."""
    shares = np.bincount(train_labels, minlength=num_classes) / len(train_labels)
    probabilities = np.tile(shares.astype(np.float32), (len(subset), 1))
    return Predictions(probabilities, subset.labels, subset.ids)


def logistic_regression(
    train: ImageArrays, subsets: Mapping[str, ImageArrays], num_classes: int, seed: int
) -> dict[str, Predictions]:
    """Fit a multinomial logistic regression on 8x8 averaged pixels and predict every subset.

    It is fitted to at most 10,000 training images, standardized by their own mean and deviation,
    with scikit-learn's default penalty. It runs in one thread, so that their number changes nothing.
    """
    chosen = stratified_sample(train.labels, MAX_TRAIN_IMAGES, seed)
    features = averaged_pixels(train.images, chosen)
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation[deviation == 0.0] = 1.0  # a pixel that never changes (the border of digits)
    predictions = {}
    with threadpool_limits(limits=1):
        model = _fit((features - mean) / deviation, train.labels[chosen])
        for name, subset in subsets.items():
            rows = np.arange(len(subset))
            known = model.predict_proba((averaged_pixels(subset.images, rows) - mean) / deviation)
            probabilities = np.zeros((len(subset), num_classes), dtype=np.float32)
            probabilities[:, model.classes_] = known
            predictions[name] = Predictions(probabilities, subset.labels, subset.ids)
    return predictions


def _fit(features: Float64[np.ndarray, "n d"], labels: Int64[np.ndarray, " n"]) -> LogisticRegression:
    with warnings.catch_warnings():
        # A reference needs no last digit: where the limit of iterations ends the fit, it is good enough.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(max_iter=_MAX_ITERATIONS).fit(features, labels)


def stratified_sample(labels: Int64[np.ndarray, " n"], limit: int, seed: int) -> Int64[np.ndarray, " rows"]:
    """Rows of at most `limit` images, ascending: every class by its share, and by one image at least."""
    if len(labels) <= limit:
        return np.arange(len(labels))
    generator = np.random.default_rng(seed)
    classes, sizes = np.unique(labels, return_counts=True)
    # One image for each class, the others by share and rounded down: never more than the limit.
    quotas = 1 + sizes * (limit - len(classes)) // len(labels)
    chosen = [
        generator.choice(np.flatnonzero(labels == label), size=quota, replace=False)
        for label, quota in zip(classes, quotas, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def averaged_pixels(
    images: UInt8[np.ndarray, "n h w c"], rows: Int64[np.ndarray, " m"]
) -> Float64[np.ndarray, "m 64*c"]:
    """Mean gray levels over a grid of 8x8 cells per channel.

    Args:
      images: each side at least 8 pixels; where it is not a multiple of 8, cells differ by one pixel. May be
        a memory map.
      rows: the images wanted.
    """
    _, height, width, channels = images.shape
    tops, lefts = (np.arange(GRID) * side // GRID for side in (height, width))
    sizes = np.outer(np.diff(tops, append=height), np.diff(lefts, append=width))[..., np.newaxis]
    features = np.empty((len(rows), GRID, GRID, channels))
    for part in _parts(len(rows)):
        sums = np.add.reduceat(images[rows[part]], tops, axis=1, dtype=np.int64)
        features[part] = np.add.reduceat(sums, lefts, axis=2) / sizes
    return features.reshape(len(rows), -1)


def _parts(count: int) -> Iterator[slice]:
    for start in range(0, count, _IMAGES_AT_ONCE):
        yield slice(start, start + _IMAGES_AT_ONCE)
