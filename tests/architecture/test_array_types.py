"""While tests run, arrays that do not fit the annotations of a function or dataclass are refused."""

import jaxtyping
import numpy as np
import pytest

from pipeline.scoring.calibration import Calibration
from pipeline.scoring.predictions import require_finite
from pipeline.scoring.scores import class_scores


def test_another_dtype_is_refused() -> None:
    require_finite(np.zeros((2, 3), np.float32), "a model")
    with pytest.raises(jaxtyping.TypeCheckError, match="probabilities"):
        require_finite(np.zeros((2, 3), np.float64), "a model")


def test_sizes_that_must_be_equal_are_compared_between_arguments() -> None:
    counts = np.array([3, 1, 0])
    assert class_scores(counts, counts, counts).support.shape == (3,)
    with pytest.raises(jaxtyping.TypeCheckError, match="predicted"):
        class_scores(counts, counts, np.array([3, 1]))


def test_the_fields_of_a_dataclass_are_compared_with_each_other() -> None:
    bins, shares = np.array([1, 4]), np.array([0.1, 0.9])
    Calibration(bins, shares, shares, bins)
    with pytest.raises(jaxtyping.TypeCheckError, match="images"):
        Calibration(bins, shares, shares, np.array([1, 4, 5]))
