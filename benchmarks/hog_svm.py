"""Histograms of oriented gradients and a linear support vector machine; imports nothing of this project.

    python benchmarks/hog_svm.py ARRAYS

ARRAYS is a folder with {train,test}/{images,labels}.npy. Packages: benchmarks/requirements-hog.txt. One
process, as scikit-image and liblinear have it; prints a line of JSON.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from skimage.feature import hog
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC


def features(images: np.ndarray) -> np.ndarray:
    """(N, height, width, 3) to (N, features)."""
    return np.stack([hog(image, pixels_per_cell=(4, 4), channel_axis=-1) for image in images])


def main(arrays: Path) -> None:
    images, labels, test_images, test_labels = (
        np.load(arrays / subset / f"{name}.npy")
        for subset in ("train", "test")
        for name in ("images", "labels")
    )
    began = time.perf_counter()
    model = make_pipeline(StandardScaler(), LinearSVC(C=0.001, random_state=0))
    model.fit(features(images), labels)
    seconds = time.perf_counter() - began
    correct = int((model.predict(features(test_images)) == test_labels).sum())
    versions = {name: version(name) for name in ("scikit-image", "scikit-learn")}
    print(
        json.dumps({"seconds": seconds, "correct": correct, "images": len(test_labels), "versions": versions})
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
