"""What a model says about the images of a subset, beside what they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.foundation.array_types import Bool, Float32, Int64
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import atomic_path, require

_ARRAYS = ("probabilities", "labels", "ids")


@dataclass(frozen=True)
class Predictions:
    """Class probabilities of one subset's n images, in the order of their arrays.

    Attributes:
      probabilities: each row sums to 1.
      labels: the actual classes, 0 to k - 1.
      ids: rows of the catalogue.
    """

    probabilities: Float32[np.ndarray, "n k"]
    labels: Int64[np.ndarray, " n"]
    ids: Int64[np.ndarray, " n"]

    def __post_init__(self) -> None:
        assert self.probabilities.ndim == 2, self.probabilities.shape
        assert self.probabilities.dtype == np.float32
        assert self.labels.dtype == np.int64
        assert self.ids.dtype == np.int64
        assert self.labels.shape == self.ids.shape == self.probabilities.shape[:1]
        assert len(self.labels) > 0, "no image, no score"

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def num_classes(self) -> int:
        return int(self.probabilities.shape[1])

    @property
    def predicted(self) -> Int64[np.ndarray, " n"]:
        """The most probable class; the first of several that are equally probable."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def right(self) -> Bool[np.ndarray, " n"]:
        """Whether the predicted class is the actual one."""
        return np.asarray(self.predicted == self.labels)


def require_finite(probabilities: Float32[np.ndarray, "n k"], source: str) -> Float32[np.ndarray, "n k"]:
    """`probabilities` themselves; raises PipelineError where one of them is NaN or infinite."""
    broken = int((~np.isfinite(probabilities)).any(axis=1).sum())
    if broken:
        raise PipelineError(
            f"{source} predicts probabilities that are not numbers.",
            expected="finite probabilities for every image",
            found=f"NaN or infinity for {broken:,} of {len(probabilities):,} images",
            remedy="train it again with a lower learning rate",
        )
    return probabilities


def save_predictions(path: Path, subsets: Mapping[str, Predictions]) -> None:
    """Write `<subset>_probabilities`, `<subset>_labels` and `<subset>_ids` into one npz file.

    The same predictions give the same bytes: np.savez dates every member 1980-01-01, and nothing is
    compressed, as the output of zlib differs between its versions.
    """
    arrays = {
        f"{name}_{array}": getattr(subset, array) for name, subset in subsets.items() for array in _ARRAYS
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_predictions(path: Path) -> dict[str, Predictions]:
    """The subsets of a file written by `save_predictions`. Raises PipelineError where it is missing."""
    with np.load(require(path)) as file:
        names = [key.removesuffix("_labels") for key in file.files if key.endswith("_labels")]
        return {name: Predictions(*(file[f"{name}_{array}"] for array in _ARRAYS)) for name in names}
