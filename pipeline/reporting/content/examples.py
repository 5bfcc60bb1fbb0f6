"""Single test images with what a network says about them."""

import numpy as np

from pipeline.reporting.document import Example
from pipeline.reporting.figures.heatmaps import overlay
from pipeline.reporting.results import Candidate, Results

_PROBABILITIES = 3


def example(results: Results, candidate: Candidate, row: int) -> Example:
    """Image `row` of the test subset as `candidate` sees it; with a heatmap where there is one."""
    probabilities = candidate.predictions["test"].probabilities[row]
    heatmap = heatmap_of(candidate, row)
    image = np.asarray(results.subsets["test"].images[row])
    return _example(results, row, probabilities, None if heatmap is None else overlay(image, heatmap))


def joint_example(results: Results, row: int) -> Example:
    """Image `row` of the test subset with the mean of all candidates' probabilities."""
    every = [candidate.predictions["test"].probabilities[row] for candidate in results.candidates]
    return _example(results, row, np.mean(every, axis=0), None)


def heatmap_of(candidate: Candidate, row: int) -> np.ndarray | None:
    """The heatmap of image `row` of the test subset, float32 (h, w), if one was made."""
    found = np.flatnonzero(candidate.explanations.rows == row)
    return candidate.explanations.heatmaps[found[0]] if len(found) else None


def _example(
    results: Results, row: int, probabilities: np.ndarray, with_heatmap: np.ndarray | None
) -> Example:
    test = results.subsets["test"]
    order = np.argsort(-probabilities, kind="stable")[:_PROBABILITIES]
    label = int(test.labels[row])
    return Example(
        name=results.image_names[test.ids[row]],
        image=np.asarray(test.images[row]),
        actual=results.class_names[label],
        predicted=results.class_names[order[0]],
        probabilities=tuple((results.class_names[i], float(probabilities[i])) for i in order),
        actual_probability=float(probabilities[label]),
        overlay=with_heatmap,
    )
