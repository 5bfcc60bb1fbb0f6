"""The two references."""

import numpy as np
import pytest
from PIL import Image

from pipeline.images.arrays import ImageArrays
from pipeline.scoring import references
from pipeline.scoring.references import (
    averaged_pixels,
    logistic_regression,
    majority_class,
    stratified_sample,
)


def _bright_or_dark(images: int, seed: int, side: int = 16) -> ImageArrays:
    """Class 1 is brighter in the upper half, class 0 in the lower one; noise on top."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, size=images)
    pixels = generator.normal(100, 40, size=(images, side, side, 3))
    pixels[labels == 1, : side // 2] += 40
    pixels[labels == 0, side // 2 :] += 40
    rows = np.arange(images, dtype=np.int64)
    return ImageArrays(np.clip(pixels, 0, 255).astype(np.uint8), labels.astype(np.int64), rows)


def test_majority_class_predicts_the_commonest_training_class() -> None:
    train_labels = np.array([2, 2, 2, 0, 1])
    subset = _bright_or_dark(6, seed=0)
    predictions = majority_class(train_labels, subset, num_classes=4)
    assert predictions.predicted.tolist() == [2] * 6
    np.testing.assert_allclose(predictions.probabilities[0], [0.2, 0.2, 0.6, 0.0])
    np.testing.assert_array_equal(predictions.labels, subset.labels)


def test_logistic_regression_learns_and_repeats_itself() -> None:
    train, test = _bright_or_dark(200, seed=1), _bright_or_dark(100, seed=2)
    first, again = (
        logistic_regression(train, {"test": test}, num_classes=3, seed=0)["test"] for _ in range(2)
    )
    assert first.right.mean() > 0.95
    np.testing.assert_array_equal(first.probabilities, again.probabilities)
    np.testing.assert_allclose(first.probabilities.sum(axis=1), 1.0, rtol=1e-6)
    assert (first.probabilities[:, 2] == 0.0).all()  # a class that training does not know


def test_logistic_regression_scales_by_the_training_subset_alone() -> None:
    train, test = _bright_or_dark(200, seed=1), _bright_or_dark(50, seed=2)
    alone = ImageArrays(test.images[:1], test.labels[:1], test.ids[:1])
    predictions = logistic_regression(train, {"many": test, "one": alone}, num_classes=2, seed=0)
    np.testing.assert_allclose(
        predictions["one"].probabilities[0], predictions["many"].probabilities[0], rtol=1e-5
    )


def test_images_that_never_change_anywhere_are_no_obstacle() -> None:
    black = ImageArrays(np.zeros((20, 8, 8, 1), np.uint8), np.arange(20) % 2, np.arange(20))
    predictions = logistic_regression(black, {"test": black}, num_classes=2, seed=0)["test"]
    np.testing.assert_allclose(predictions.probabilities, 0.5, atol=1e-6)


def test_only_some_training_images_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "MAX_TRAIN_IMAGES", 30)
    train, test = _bright_or_dark(200, seed=1), _bright_or_dark(100, seed=2)
    chosen = stratified_sample(train.labels, 30, seed=5)
    others = np.setdiff1d(np.arange(200), chosen)
    images = train.images.copy()
    images[others] = 0
    unseen = ImageArrays(images, train.labels, train.ids)
    expected, found = (
        logistic_regression(each, {"test": test}, 2, seed=5)["test"] for each in (train, unseen)
    )
    np.testing.assert_array_equal(expected.probabilities, found.probabilities)


def test_sample_is_stratified_seeded_and_keeps_every_class() -> None:
    labels = np.repeat([0, 1, 2], [9000, 995, 5])
    sample = stratified_sample(labels, 1000, seed=1)
    assert len(sample) <= 1000
    assert len(np.unique(sample)) == len(sample)
    assert (np.diff(sample) > 0).all()
    counts = np.bincount(labels[sample])
    assert counts[0] == pytest.approx(900, abs=4)
    assert counts[1] == pytest.approx(99, abs=4)
    assert counts[2] >= 1
    np.testing.assert_array_equal(sample, stratified_sample(labels, 1000, seed=1))
    assert not np.array_equal(sample, stratified_sample(labels, 1000, seed=2))


def test_sample_of_few_images_is_all_of_them() -> None:
    assert stratified_sample(np.array([1, 0, 1]), 10, seed=0).tolist() == [0, 1, 2]


def test_averaged_pixels_agree_with_pillow() -> None:
    images = np.random.default_rng(3).integers(0, 256, size=(300, 32, 32, 3), dtype=np.uint8)
    features = averaged_pixels(images, np.arange(300)).reshape(300, 8, 8, 3)
    for index in (0, 255, 256, 299):  # both sides of the border between two parts
        expected = np.asarray(Image.fromarray(images[index]).reduce(4))
        np.testing.assert_allclose(features[index], expected, atol=0.51)  # Pillow rounds to whole levels


def test_averaged_pixels_of_sides_that_eight_does_not_divide() -> None:
    # Column i of 12 has level i; cells begin at columns 0 1 3 4 6 7 9 10.
    image = np.broadcast_to(np.arange(12, dtype=np.uint8)[:, np.newaxis], (1, 9, 12, 1))
    features = averaged_pixels(image, np.array([0])).reshape(8, 8)
    np.testing.assert_allclose(features, np.tile([0, 1.5, 3, 4.5, 6, 7.5, 9, 10.5], (8, 1)))
