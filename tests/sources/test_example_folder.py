"""The folder that stands for people's own images."""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from pipeline.sources.example_folder import write_example_folder


def test_a_subfolder_for_each_class(tmp_path: Path) -> None:
    write_example_folder(tmp_path / "images", images_per_class=12)
    files = sorted((tmp_path / "images").rglob("*.png"))
    assert {file.parent.name for file in files} == {"zero", "one", "four"}
    assert len(files) == 3 * 12


def test_images_show_the_digit_of_their_class(tmp_path: Path) -> None:
    """Shrunk to 8x8 again, the first zero is the first zero of scikit-learn's digits."""
    write_example_folder(tmp_path / "images", images_per_class=1)
    with Image.open(tmp_path / "images" / "zero" / "000.png") as image:
        assert image.size == (64, 64)
        assert image.mode == "L"
        pixels = np.asarray(image.resize((8, 8), Image.Resampling.BOX), dtype=float)
    digits = load_digits()
    expected = digits.images[np.flatnonzero(digits.target == 0)[0]] * (255 / 16)
    assert np.corrcoef(pixels.ravel(), expected.ravel())[0, 1] > 0.95
