"""AutoKeras' search for an image classifier; imports nothing of this project.

    python benchmarks/autokeras_search.py ARRAYS [TRIALS]

ARRAYS is a folder with {train,validation,test}/{images,labels}.npy. Settings are AutoKeras' own but for the
number of trials (by default 3) and of epochs (15), which bound its time. Prints a line of JSON.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import autokeras
import numpy as np

_EPOCHS = 15


def main(arrays: Path, trials: int) -> None:
    images, labels, validation_images, validation_labels, test_images, test_labels = (
        np.load(arrays / subset / f"{name}.npy")
        for subset in ("train", "validation", "test")
        for name in ("images", "labels")
    )
    with TemporaryDirectory() as folder:
        began = time.perf_counter()
        search = autokeras.ImageClassifier(max_trials=trials, directory=folder, seed=0)
        validation = (validation_images, validation_labels)
        search.fit(images, labels, validation_data=validation, epochs=_EPOCHS, verbose=0)
        seconds = time.perf_counter() - began
        predicted = search.predict(test_images, verbose=0).ravel().astype(int)
    versions = {name: version(name) for name in ("autokeras",)}
    correct = int((predicted == test_labels).sum())
    print(
        json.dumps({"seconds": seconds, "correct": correct, "images": len(test_labels), "versions": versions})
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3)
