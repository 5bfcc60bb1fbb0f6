"""Features of a frozen backbone: views, what a kill leaves, and batches of them."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from pipeline.backbones import features as features_module
from pipeline.backbones.features import (
    FeatureBatches,
    FeatureCache,
    Features,
    mean_and_deviation,
)
from pipeline.params.augmentation import AugmentationParams
from pipeline.training.batches import PlainBatches
from pipeline.training.data import TrainingData
from tests.training import tiny

CHANGED = tiny.augmentation(shift=0.2, mixup=0.4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    return tiny.data(tmp_path_factory.mktemp("arrays"))


@pytest.fixture(scope="module")
def network(data: TrainingData) -> keras.Model:
    """Means of the channels and of their squares."""
    image = keras.Input(data.image_shape, dtype="uint8")
    x = layers.Rescaling(1 / 255, dtype="float32")(image)
    return keras.Model(image, layers.Flatten()(layers.AveragePooling2D(4)(x)))


def computed(
    network: keras.Model,
    data: TrainingData,
    folder: Path,
    views: int = 2,
    augmentation: AugmentationParams = CHANGED,
    seed: int = 0,
) -> Features:
    return FeatureCache(folder, seed, ()).features(network, ["means"], data, augmentation, views)


def test_the_first_view_is_the_images_as_they_are(
    network: keras.Model, data: TrainingData, tmp_path: Path
) -> None:
    found = computed(network, data, tmp_path)
    for view, subset in ((found.train[0], data.train), (found.validation, data.validation)):
        expected = np.asarray(network.predict_on_batch(np.asarray(subset.images)))
        np.testing.assert_allclose(view.features, expected, atol=1e-3)
        np.testing.assert_array_equal(view.targets.argmax(axis=1), subset.labels)
        assert set(np.unique(view.targets)) == {0.0, 1.0}


def test_other_views_are_augmented_by_the_seed(
    network: keras.Model, data: TrainingData, tmp_path: Path
) -> None:
    first = computed(network, data, tmp_path / "first", views=3)
    again = computed(network, data, tmp_path / "again", views=3)
    other = computed(network, data, tmp_path / "other", views=3, seed=1)
    assert len(first.train) == 3
    for number in (1, 2):
        assert first.train[number].features.tobytes() == again.train[number].features.tobytes()
        assert first.train[number].targets.tobytes() == again.train[number].targets.tobytes()
        assert first.train[number].features.tobytes() != other.train[number].features.tobytes()
        assert (first.train[number].targets.max(axis=1) < 1).any(), "mixed images have mixed targets"
    assert first.train[1].features.tobytes() != first.train[2].features.tobytes()


def test_a_kill_costs_the_view_that_was_not_ready(
    network: keras.Model, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = computed(network, data, tmp_path / "undisturbed")

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(features_module, "augment", killed)
        computed(network, data, tmp_path / "killed")
    made = {path.name: path.stat().st_ino for path in (tmp_path / "killed").glob("*.npy")}
    assert sorted(Path(name).suffixes for name in made) == [[".features", ".npy"], [".targets", ".npy"]]
    resumed = computed(network, data, tmp_path / "killed")
    for own, other in zip(resumed.train, undisturbed.train, strict=True):
        assert own.features.tobytes() == other.features.tobytes()
    assert {name: (tmp_path / "killed" / name).stat().st_ino for name in made} == made, "not written again"


def test_statistics_are_over_all_views(network: keras.Model, data: TrainingData, tmp_path: Path) -> None:
    found = computed(network, data, tmp_path)
    mean, deviation = mean_and_deviation(found)
    together = np.concatenate([view.features for view in found.train]).astype(np.float64)
    np.testing.assert_allclose(mean, together.mean(axis=0))
    np.testing.assert_allclose(deviation, together.std(axis=0), atol=1e-9)


def test_an_epoch_has_every_image_once_and_the_next_one_another_view(
    network: keras.Model, data: TrainingData, tmp_path: Path
) -> None:
    found = computed(network, data, tmp_path)
    batches = FeatureBatches(found, data, 10, "balanced", seed=0)
    assert batches.images_per_epoch == len(batches) * 10 <= len(data.train)
    for epoch in range(4):
        batches.start_at_epoch(epoch)
        rows = np.concatenate([batches[index][0] for index in range(len(batches))])
        view = found.train[epoch % 2].features.astype(np.float32)
        places = [int(np.flatnonzero((view == row).all(axis=1))[0]) for row in rows]
        assert len(set(places)) == len(places)
        _, targets, weights = batches[0]
        np.testing.assert_array_equal(targets, found.train[epoch % 2].targets[sorted(places[:10])])
        assert weights.shape == (10,)


def test_validation_in_order(network: keras.Model, data: TrainingData, tmp_path: Path) -> None:
    found = computed(network, data, tmp_path)
    batches = PlainBatches(found.validation.features, data.validation.labels, data.num_classes, 7)
    parts = [batches[index] for index in range(len(batches))]
    np.testing.assert_array_equal(
        np.concatenate([part[0] for part in parts]), found.validation.features.astype(np.float32)
    )
    assert (
        np.concatenate([part[1] for part in parts]).argmax(axis=1).tolist() == data.validation.labels.tolist()
    )


def test_trainings_share_what_is_equal(network: keras.Model, data: TrainingData, tmp_path: Path) -> None:
    computed(network, data, tmp_path)
    made = set(tmp_path.glob("*.npy"))
    computed(network, data, tmp_path, augmentation=tiny.augmentation(shift=0.1))
    new = set(tmp_path.glob("*.npy")) - made
    assert len(new) == 2, "the other second view, and its targets"
    FeatureCache(tmp_path, 0, ()).features(network, ["another network"], data, CHANGED, 2)
    FeatureCache(tmp_path, 0, ["other code"]).features(network, ["means"], data, CHANGED, 2)
    assert len(list(tmp_path.glob("*.npy"))) == 3 * 6 + 2


def test_what_was_not_used_for_longest_goes_first(
    network: keras.Model, data: TrainingData, tmp_path: Path
) -> None:
    cache = FeatureCache(tmp_path, 0, (), most_bytes=10_000_000)
    for number, name in enumerate(("first", "second", "third")):
        cache.features(network, [name], data, CHANGED, 1)
        for file in tmp_path.glob("*.npy"):
            if file.stat().st_mtime > 1_000_000_000:
                os.utime(file, (number, number))
    bytes_of_two = sum(file.stat().st_size for file in tmp_path.glob("*.npy")) * 2 // 3
    kept = cache.features(
        network, ["first"], data, CHANGED, 1
    )  # used again, so that the second is the oldest
    FeatureCache(tmp_path, 0, (), bytes_of_two).features(network, ["third"], data, CHANGED, 1)
    made = set(tmp_path.glob("*.npy"))
    assert len(made) == 8
    cache.features(network, ["first"], data, CHANGED, 1)
    assert set(tmp_path.glob("*.npy")) == made, "it is still there"
    assert kept.validation.features.shape == (len(data.validation), network.output.shape[1])


def test_a_training_keeps_what_it_uses_and_clears_what_a_kill_has_left(
    network: keras.Model, data: TrainingData, tmp_path: Path
) -> None:
    """Even where it alone is above the limit: its trials would compute everything anew."""
    left = tmp_path / ".view.npy.abc.npy"
    left.write_bytes(b"half of a view")
    cache = FeatureCache(tmp_path, 0, (), most_bytes=1)
    cache.features(network, ["means"], data, CHANGED, 2)
    assert len(list(tmp_path.glob("*.npy"))) == 6
    assert not left.exists()
