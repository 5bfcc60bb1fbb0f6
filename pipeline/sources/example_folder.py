"""A small folder of images to try things on: the digits of scikit-learn as files."""

from pathlib import Path

import numpy as np
from PIL import Image

_NAMES = {0: "zero", 1: "one", 4: "four"}
_SIDE = 64


def write_example_folder(folder: Path, images_per_class: int = 40) -> None:
    """Write `<class>/<number>.png`, gray images of 64x64 pixels, as people keep their own images."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    for label, name in _NAMES.items():
        (folder / name).mkdir(parents=True)
        for number, row in enumerate(np.flatnonzero(digits.target == label)[:images_per_class]):
            pixels = np.round(digits.images[row] * (255 / digits.images.max())).astype(np.uint8)
            image = Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
            image.save(folder / name / f"{number:03d}.png")
