"""Single test images with what a network says about them."""

from collections.abc import Sequence

import numpy as np

from pipeline.foundation.array_types import Float32, UInt8
from pipeline.reporting.document import Example
from pipeline.reporting.results import Candidate, RunResults
from pipeline.reporting.topics.explanations.heatmaps import overlay

_PROBABILITIES = 3


def example(results: RunResults, candidate: Candidate, row: int) -> Example:
    """Image `row` of the test subset as `candidate` sees it; with a heatmap where there is one."""
    found = np.flatnonzero(candidate.explanations.rows == row)
    image = np.asarray(results.subsets["test"].images[row])
    hot = overlay(image, candidate.explanations.heatmaps[found[0]]) if len(found) else None
    return _test_example(results, row, candidate.predictions.probabilities[row], hot)


def joint_example(results: RunResults, row: int) -> Example:
    """Image `row` of the test subset with the mean of all candidates' probabilities."""
    every = [candidate.predictions.probabilities[row] for candidate in results.candidates]
    return _test_example(results, row, np.mean(every, axis=0), None)


def _test_example(
    results: RunResults,
    row: int,
    probabilities: Float32[np.ndarray, " k"],
    with_heatmap: UInt8[np.ndarray, "h w 3"] | None,
) -> Example:
    test = results.subsets["test"]
    name, label = results.image_names[test.ids[row]], int(test.labels[row])
    image = np.asarray(test.images[row])
    return answered(name, image, label, probabilities, results.class_names, with_heatmap)


def answered(
    name: str,
    image: UInt8[np.ndarray, "h w c"],
    label: int,
    probabilities: Float32[np.ndarray, " k"],
    class_names: Sequence[str],
    with_heatmap: UInt8[np.ndarray, "h w 3"] | None = None,
) -> Example:
    """An image of the class `label` with the most probable classes."""
    order = np.argsort(-probabilities, kind="stable")[:_PROBABILITIES]
    return Example(
        name=name,
        image=image,
        actual=class_names[label],
        predicted=class_names[order[0]],
        probabilities=tuple((class_names[i], float(probabilities[i])) for i in order),
        actual_probability=float(probabilities[label]),
        overlay=with_heatmap,
    )
