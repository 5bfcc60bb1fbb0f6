"""Batches follow from (seed, epoch, number) alone, and an epoch meets no image twice."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from pipeline.images.arrays import ChannelStatistics, ImageArrays
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.training.batches import PlainBatches, TrainingBatches, class_weights
from pipeline.training.data import TrainingData
from tests.training import tiny


def numbered(count: int) -> ImageArrays:
    """Images that tell their number, labels its remainder by 3."""
    numbers = np.arange(count)
    images = np.broadcast_to(numbers.astype(np.uint8)[:, None, None, None], (count, 4, 4, 1))
    return ImageArrays(images, numbers % 3, numbers)


def data(train: ImageArrays) -> TrainingData:
    spec = PreprocessingSpec(4, "pad", "grayscale", ("a", "b", "c"))
    return TrainingData(train, train, ChannelStatistics((0.0,), (1.0,)), spec, digest="")


def training(count: int = 23, batch_size: int = 5, seed: int = 0, **on: float) -> TrainingBatches:
    return TrainingBatches(data(numbered(count)), batch_size, tiny.augmentation(**on), "balanced", seed)


def epoch_bytes(batches: TrainingBatches) -> list[bytes]:
    return [part.tobytes() for number in range(len(batches)) for part in batches[number]]


def test_labels_and_weights_belong_to_the_images() -> None:
    images, targets, weights = training(count=23)[0]
    numbers = images[:, 0, 0, 0]
    np.testing.assert_array_equal(targets, np.eye(3)[numbers % 3])
    np.testing.assert_allclose(weights, np.array([23 / 24, 23 / 24, 23 / 21])[numbers % 3], rtol=1e-6)
    assert [part.dtype.name for part in (images, targets, weights)] == ["uint8", "float32", "float32"]


def test_an_epoch_has_every_image_at_most_once_in_whole_batches() -> None:
    batches = training(count=23, batch_size=5)
    seen: set[int] = set()
    left_out = set()
    for epoch in range(12):
        batches.start_at_epoch(epoch)
        numbers = np.concatenate([batches[index][0][:, 0, 0, 0] for index in range(len(batches))])
        assert len(numbers) == len(set(numbers)) == 20
        seen |= set(numbers.tolist())
        left_out |= set(range(23)) - set(numbers.tolist())
    assert seen == set(range(23))
    assert len(left_out) > 3, "not always the same images are left out"


def test_a_batch_larger_than_the_subset_is_the_subset() -> None:
    batches = training(count=6, batch_size=128)
    assert (len(batches), batches.images_per_epoch) == (1, 6)
    assert sorted(batches[0][0][:, 0, 0, 0]) == list(range(6))


def test_a_resumed_epoch_has_the_batches_that_it_would_have_had() -> None:
    undisturbed = training(shift=0.5, random_erasing=0.5)
    first = epoch_bytes(undisturbed)
    undisturbed.start_at_epoch(1)
    undisturbed.start_at_epoch(2)
    resumed = training(shift=0.5, random_erasing=0.5)
    assert epoch_bytes(resumed) == first
    resumed.start_at_epoch(2)
    assert epoch_bytes(resumed) == epoch_bytes(undisturbed)


def test_epochs_seeds_and_batches_differ() -> None:
    batches = training(random_erasing=1.0)
    first = epoch_bytes(batches)
    batches.start_at_epoch(1)
    assert epoch_bytes(batches) != first
    assert epoch_bytes(training(seed=1, random_erasing=1.0)) != first


def test_every_batch_has_random_changes_of_its_own() -> None:
    plain = ImageArrays(np.zeros((20, 8, 8, 1), np.uint8), np.zeros(20, np.int64), np.arange(20))
    augmentation = tiny.augmentation(random_erasing=1.0)
    batches = TrainingBatches(data(plain), 10, augmentation, "none", seed=0)
    assert not np.array_equal(batches[0][0], batches[1][0])


def test_plain_batches_hold_all_images_in_order() -> None:
    batches = PlainBatches(numbered(7).images, numbered(7).labels, 3, batch_size=3)
    assert [len(batches[number][0]) for number in range(len(batches))] == [3, 3, 1]
    images = np.concatenate([batches[number][0] for number in range(3)])
    targets = np.concatenate([batches[number][1] for number in range(3)])
    np.testing.assert_array_equal(images[:, 0, 0, 0], np.arange(7))
    np.testing.assert_array_equal(targets, np.eye(3)[np.arange(7) % 3])


def test_class_weights_agree_with_scikit_learn() -> None:
    labels = np.array([0] * 7 + [1] * 2 + [2] * 11)
    found = class_weights(labels, 3, "balanced")
    np.testing.assert_allclose(
        found, compute_class_weight("balanced", classes=np.arange(3), y=labels), rtol=1e-6
    )
    assert found[labels].mean() == pytest.approx(1)
    np.testing.assert_array_equal(class_weights(labels, 3, "none"), [1, 1, 1])


def test_a_class_without_images_does_not_matter() -> None:
    assert np.isfinite(class_weights(np.array([0, 0, 2]), 3, "balanced")).all()


def test_an_unknown_kind_of_class_weights_is_not_taken_for_another() -> None:
    with pytest.raises(AssertionError, match="inverse"):
        class_weights(np.array([0, 1]), 2, "inverse")  # type: ignore[arg-type]
