"""AutoGluon's predictor for images; imports nothing of this project.

    python benchmarks/autogluon_search.py ARRAYS [SECONDS]

ARRAYS is a folder with {train,validation,test}/{images,labels}.npy. Settings are AutoGluon's own but for the
time limit (by default 900 seconds). It fine-tunes a network pretrained on ImageNet, whose weights it
downloads when it first runs. Prints a line of JSON.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from autogluon.multimodal import MultiModalPredictor
from PIL import Image


def table(arrays: Path, subset: str, folder: Path) -> pd.DataFrame:
    """A line for each image, written as a file, which is how AutoGluon reads them."""
    images, labels = (np.load(arrays / subset / f"{name}.npy") for name in ("images", "labels"))
    (folder / subset).mkdir()
    paths = [str(folder / subset / f"{number}.png") for number in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image.squeeze()).save(path)
    return pd.DataFrame({"image": paths, "label": labels})


def main(arrays: Path, seconds_at_most: int) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        train, validation, test = (
            table(arrays, subset, folder) for subset in ("train", "validation", "test")
        )
        began = time.perf_counter()
        predictor = MultiModalPredictor(label="label", problem_type="multiclass", path=str(folder / "model"))
        predictor.fit(train, tuning_data=validation, time_limit=seconds_at_most, seed=0)
        seconds = time.perf_counter() - began
        correct = int((predictor.predict(test[["image"]]).to_numpy() == test["label"].to_numpy()).sum())
    versions = {"autogluon": version("autogluon.multimodal")}
    print(json.dumps({"seconds": seconds, "correct": correct, "images": len(test), "versions": versions}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 900)
