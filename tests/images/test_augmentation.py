"""Every random change against an independent, slow or hand-made answer."""

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from pipeline.foundation.array_types import Float32, Int64, UInt8
from pipeline.images.augmentation import _brighten_and_contrast, _rotate_and_zoom, augment
from pipeline.params.augmentation import AugmentationParams

OFF: dict[str, Any] = {
    "horizontal_flip": False,
    "vertical_flip": False,
    "shift": 0.0,
    "rotation": 0.0,
    "zoom": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "cutout": 0.0,
    "random_erasing": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
}
EACH_ON: dict[str, Any] = {
    "horizontal_flip": True,
    "vertical_flip": True,
    "shift": 0.2,
    "rotation": 30.0,
    "zoom": 0.3,
    "brightness": 0.3,
    "contrast": 0.3,
    "cutout": 0.4,
    "random_erasing": 0.9,
    "mixup": 1.0,
    "cutmix": 1.0,
}


Batch = tuple[UInt8[np.ndarray, "n h w c"], Float32[np.ndarray, "n k"]]


class Pinned(np.random.Generator):
    """Every uniform draw is the upper bound."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64())

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        return np.full(size, high)


def params(**on: Any) -> AugmentationParams:
    return AugmentationParams(**{**OFF, **on})


def noise(
    count: int = 60, height: int = 12, width: int = 16, channels: int = 3
) -> UInt8[np.ndarray, "n h w c"]:
    return np.random.default_rng(0).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def one_hot(labels: Int64[np.ndarray, " n"], classes: int = 4) -> Float32[np.ndarray, "n k"]:
    return np.asarray(labels[:, None] == np.arange(classes), np.float32)


def changed(
    images: UInt8[np.ndarray, "n h w c"], seed: int = 0, fill: tuple[float, ...] = (0.0, 0.0, 0.0), **on: Any
) -> Batch:
    targets = one_hot(np.arange(len(images)) % 4)
    return augment(images, targets, params(**on), fill[: images.shape[-1]], np.random.default_rng(seed))


def test_nothing_happens_with_everything_off() -> None:
    images = noise()
    new, targets = changed(images)
    np.testing.assert_array_equal(new, images)
    np.testing.assert_array_equal(targets, one_hot(np.arange(60) % 4))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", EACH_ON)
def test_what_holds_of_every_change(name: str, channels: int) -> None:
    """Shapes and types stay, inputs too; a seed decides every byte; something does change."""
    images, targets = noise(channels=channels), one_hot(np.arange(60) % 4)
    images.flags.writeable = targets.flags.writeable = False
    before = images.copy(), targets.copy()
    on, fill = params(**{name: EACH_ON[name]}), (10.0, 20.0, 30.0)[:channels]

    def once(seed: int) -> Batch:
        return augment(images, targets, on, fill, np.random.default_rng(seed))

    new, new_targets = once(seed=1)
    assert (new.shape, new.dtype.name) == (images.shape, "uint8")
    assert (new_targets.shape, new_targets.dtype.name) == (targets.shape, "float32")
    np.testing.assert_array_equal(images, before[0])
    np.testing.assert_array_equal(targets, before[1])
    again, again_targets = once(seed=1)
    assert (new.tobytes(), new_targets.tobytes()) == (again.tobytes(), again_targets.tobytes())
    assert new.tobytes() != once(seed=2)[0].tobytes()
    assert (new != images).any()


def test_shift_moves_by_whole_pixels_and_mirrors_the_border() -> None:
    images = noise(count=400, height=10, width=20)
    new, _ = changed(images, shift=0.1)  # a row, two columns
    padded = np.pad(images, [(0, 0), (1, 1), (2, 2), (0, 0)], mode="reflect")
    possible = {
        (down, right): padded[:, 1 - down : 11 - down, 2 - right : 22 - right]
        for down in (-1, 0, 1)
        for right in (-2, -1, 0, 1, 2)
    }
    seen = set()
    for number, image in enumerate(new):
        equal = [move for move, moved in possible.items() if np.array_equal(image, moved[number])]
        assert len(equal) == 1
        seen.add(equal[0])
    assert seen == set(possible)


@pytest.mark.parametrize(("name", "axis"), [("vertical_flip", 1), ("horizontal_flip", 2)])
def test_flips_half_of_the_images(name: str, axis: int) -> None:
    images = noise(count=400)
    new, _ = changed(images, 0, (0.0, 0.0, 0.0), **{name: True})
    as_it_was = (new == images).all(axis=(1, 2, 3))
    flipped = (new == np.flip(images, axis)).all(axis=(1, 2, 3))
    assert (as_it_was ^ flipped).all()
    assert 0.4 < flipped.mean() < 0.6


@pytest.mark.parametrize(("degrees", "quarter_turns"), [(90.0, 1), (180.0, 2)])
def test_rotation_by_quarter_turns_moves_pixels(degrees: float, quarter_turns: int) -> None:
    images = noise(count=3, height=15, width=15)
    new = _rotate_and_zoom(images, degrees, 0.0, Pinned())
    turned = [np.rot90(images, turns, axes=(1, 2)) for turns in (quarter_turns, -quarter_turns)]
    assert any(np.array_equal(new, answer) for answer in turned)


@pytest.mark.parametrize(("rotation", "zoom"), [(30.0, 0.0), (0.0, 0.4), (0.0, -0.3), (17.0, 0.2)])
def test_rotation_and_zoom_agree_with_scipy(rotation: float, zoom: float) -> None:
    images = ndimage.gaussian_filter(noise(count=2, height=14, width=20).astype(float), (0, 1, 1, 0))
    images = np.rint(images).astype(np.uint8)
    new = _rotate_and_zoom(images, rotation, zoom, Pinned())
    cosine, sine = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    to_source = np.array([[cosine, -sine], [sine, cosine]]) / (1 + zoom)
    center = (np.array(images.shape[1:3]) - 1) / 2
    for image, found in zip(images, new, strict=True):
        for channel in range(3):
            expected = ndimage.affine_transform(
                image[..., channel].astype(float),
                to_source,
                offset=center - to_source @ center,
                order=1,
                mode="mirror",
            )
            np.testing.assert_allclose(found[..., channel], expected, atol=0.51)


def test_angles_and_sizes_stay_within_their_bounds() -> None:
    """A line through the center tells the angle of every image, its length the zoom."""
    images = np.zeros((200, 41, 41, 1), np.uint8)
    images[:, 20, 8:33] = 255
    rotated, _ = changed(images, rotation=20.0)
    y, x = np.mgrid[-20:21, -20:21]
    angles = []
    for image in rotated[..., 0].astype(float):
        xx, xy, yy = ((image * product).sum() for product in (x * x, x * y, y * y))
        angles.append(np.rad2deg(np.arctan2(2 * xy, xx - yy) / 2))
    assert -20.5 < min(angles) < -15
    assert 15 < max(angles) < 20.5

    zoomed, _ = changed(images, zoom=0.2)
    lengths = zoomed[:, 20, :, 0].astype(float).sum(axis=1) / 255
    assert 25 * 0.8 - 1 < lengths.min() < 25 * 0.88
    assert 25 * 1.12 < lengths.max() < 25 * 1.2 + 1


def test_brightness_and_contrast_by_hand() -> None:
    image = np.array([[[10, 20, 30]], [[40, 100, 250]]], np.uint8)  # mean 75
    new = _brighten_and_contrast(image[None], 0.1, 0.5, Pinned())[0]
    # 75 + 1.5 * (level - 75) + 25.5, cut off at 0 and 255
    expected = [[[3, 18, 33]], [[48, 138, 255]]]
    assert np.abs(new.astype(int) - expected).max() <= 1
    assert new[1, 0, 2] == 255


def test_brightness_and_contrast_stay_within_their_bounds() -> None:
    images = np.full((300, 4, 4, 1), 100, np.uint8)
    levels = changed(images, brightness=0.2)[0][:, 0, 0, 0].astype(int)
    assert 49 <= levels.min() < 60
    assert 140 < levels.max() <= 151
    images[:, :2] = 140  # mean 120, 20 to both sides
    new = changed(images, contrast=0.5)[0].astype(int)
    spread = (new.max(axis=(1, 2, 3)) - new.min(axis=(1, 2, 3))) / 2
    assert 10 <= spread.min() < 12
    assert 28 < spread.max() <= 30
    assert np.abs(new.mean(axis=(1, 2, 3)) - 120).max() <= 1


def test_cutout_covers_one_square_of_the_fill_color() -> None:
    images = np.full((300, 20, 30, 3), 200, np.uint8)
    new, _ = changed(images, cutout=0.3, fill=(1.4, 2.5, 3.6))
    corners = set()
    for image in new:
        rows, columns = np.nonzero((image != 200).any(axis=-1))
        # 0.3 of 20 rows, 0.3 of 30 columns: the same share of every side
        assert (int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1, len(rows)) == (6, 9, 54)
        assert (image[rows, columns] == [1, 2, 4]).all()
        corners.add((rows.min(), columns.min()))
    assert {row for row, _ in corners} == set(range(15))
    assert {column for _, column in corners} == set(range(22))


def test_random_erasing_paints_noise_over_a_rectangle() -> None:
    images = np.full((400, 40, 50, 3), 77, np.uint8)
    new, _ = changed(images, random_erasing=0.7)
    erased = [image for image in new if (image != 77).any()]
    assert 0.63 < len(erased) / len(new) < 0.77
    shares = []
    for image in erased:
        rows, columns = np.nonzero((image != 77).any(axis=-1))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == height * width  # a gray level of noise is 77 in all channels in 1 of 16 million
        shares.append(height * width / (40 * 50))
    assert 0.01 < min(shares) < 0.04
    assert 0.28 < max(shares) < 0.36
    inside = np.concatenate([image[(image != 77).any(axis=-1)] for image in erased])
    assert abs(inside.mean() - 127.5) < 1


def levels_by_class(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Plain images whose gray level tells their class: 0, 80, 160, 240."""
    labels = np.arange(count) % 4
    return np.broadcast_to((labels * 80).astype(np.uint8)[:, None, None, None], (count, 10, 14, 1)), labels


def test_mixup_blends_targets_as_it_blends_pixels() -> None:
    images, _ = levels_by_class(200)
    new, targets = changed(images, mixup=0.8)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    assert (np.ptp(new, axis=(1, 2, 3)) == 0).all()
    np.testing.assert_allclose(new[:, 0, 0, 0], targets @ [0, 80, 160, 240], atol=0.51)
    assert ((targets > 0.1).sum(axis=1) == 2).mean() > 0.3


def test_cutmix_shares_targets_as_it_shares_pixels() -> None:
    images, labels = levels_by_class(200)
    new, targets = changed(images, cutmix=1.0)
    shares = np.stack([(new == level).mean(axis=(1, 2, 3)) for level in (0, 80, 160, 240)], axis=1)
    np.testing.assert_allclose(targets, shares, atol=1e-6)
    for image, label in zip(new[..., 0], labels, strict=True):
        rows, columns = np.nonzero(image != label * 80)
        if len(rows):
            assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert (shares.max(axis=1) < 0.95).mean() > 0.3


def test_mixup_and_cutmix_together_take_turns() -> None:
    images, _ = levels_by_class(40)
    pasted = [
        np.isin(changed(images, seed, mixup=1.0, cutmix=1.0)[0], (0, 80, 160, 240)).all()
        for seed in range(40)
    ]
    assert 10 < sum(pasted) < 30
