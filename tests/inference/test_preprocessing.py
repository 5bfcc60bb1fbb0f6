"""The one way from an image file to a network's input."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.foundation.errors import PipelineError
from pipeline.images.decoding import UnreadableImageError
from pipeline.inference.preprocessing import PreprocessingSpec


def spec(size: int = 4, **changes: Any) -> PreprocessingSpec:
    return PreprocessingSpec(
        **{"image_size": size, "resize": "pad", "color": "rgb", "classes": ("a", "b"), **changes}
    )


def png(pixels: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def test_an_image_of_the_right_size_is_not_changed() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    for resize in ("pad", "crop", "stretch"):
        result = spec(8, resize=resize).apply(png(pixels))
        assert result.dtype == np.uint8
        np.testing.assert_array_equal(result, pixels)


def test_grayscale_becomes_three_equal_channels() -> None:
    pixels = np.arange(16).reshape(4, 4)
    np.testing.assert_array_equal(spec().apply(png(pixels)), np.stack([pixels] * 3, axis=-1))


def test_grayscale_is_luma() -> None:
    pixels = np.zeros((4, 4, 3))
    pixels[0, :3] = np.eye(3) * 255
    result = spec(color="grayscale").apply(png(pixels))
    assert result.shape == (4, 4, 1)
    # ITU-R BT.601: 0.299, 0.587, 0.114
    np.testing.assert_allclose(result[0, :, 0], [76, 150, 29, 0], atol=1)


def test_pad_shows_everything_and_black_beside_it() -> None:
    wide = np.full((2, 8), 200)
    result = spec(8).apply(png(wide))[..., 0]
    np.testing.assert_array_equal(result[3:5], 200)
    np.testing.assert_array_equal(result[:3], 0)
    np.testing.assert_array_equal(result[5:], 0)
    np.testing.assert_array_equal(spec(8).apply(png(wide.T))[..., 0], result.T)


def test_crop_shows_the_middle() -> None:
    wide = np.repeat([[10, 20, 30, 40, 50, 60, 70, 80]], 4, axis=0)
    result = spec(4, resize="crop").apply(png(wide))[..., 0]
    np.testing.assert_array_equal(result, np.repeat([[30, 40, 50, 60]], 4, axis=0))


def test_stretch_shows_everything_in_other_proportions() -> None:
    wide = np.repeat([[0, 0, 0, 0, 240, 240, 240, 240]], 4, axis=0)
    result = spec(4, resize="stretch").apply(png(wide))[..., 0]
    assert result.shape == (4, 4)
    assert (np.diff(result.astype(int), axis=1) >= 0).all()
    np.testing.assert_array_equal(result[:, 0], 0)
    np.testing.assert_array_equal(result[:, -1], 240)


@pytest.mark.parametrize("resize", ["pad", "crop", "stretch"])
def test_shrinking_averages_over_all_pixels(resize: str) -> None:
    # A board of single black and white pixels: sampling without antialiasing gives black or white.
    board = np.indices((64, 128)).sum(axis=0) % 2 * 255
    result = spec(8, resize=resize).apply(png(board))[..., 0]
    if resize == "pad":
        result = result[2:6]
    np.testing.assert_allclose(result[1:-1, 1:-1], 127.5, atol=3)


def test_enlarging_interpolates() -> None:
    # Bilinear, pixel centers at 1/2: weights 1/4 and 3/4 between the two columns.
    result = spec(4, resize="stretch").apply(png([[0, 100], [0, 100]]))[..., 0]
    np.testing.assert_array_equal(result, np.repeat([[0, 25, 75, 100]], 4, axis=0))


def test_a_very_long_image_keeps_a_line() -> None:
    result = spec(8).apply(png(np.full((1, 500), 255)))[..., 0]
    assert np.count_nonzero(result.max(axis=1)) == 1


def test_an_unreadable_image_is_said_to_be_one() -> None:
    with pytest.raises(UnreadableImageError):
        spec().apply(b"no image")


def test_round_trip(tmp_path: Path) -> None:
    original = spec(12, resize="crop", color="grayscale", classes=("ä", "b"))
    original.save(tmp_path / "preprocessing.json")
    assert PreprocessingSpec.load(tmp_path / "preprocessing.json") == original
    assert PreprocessingSpec.load(tmp_path / "preprocessing.json") != spec(12)
    assert PreprocessingSpec.from_json(original.to_json()) == original


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="dvc repro"):
        PreprocessingSpec.load(tmp_path / "preprocessing.json")
