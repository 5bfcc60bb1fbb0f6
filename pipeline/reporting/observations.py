"""Sentences about what the networks look at, how they separate the classes and how sure they are.

As in `statements`, every sentence is chosen by a condition on the numbers that it states.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.reporting.diagnosis import measure_attention
from pipeline.reporting.results import Candidate, Results
from pipeline.reporting.wording import (
    accuracy_decimals,
    area_text,
    candidate_title,
    counted,
    listed,
    percent,
    quoted,
    whole,
)
from pipeline.scoring.curves import ClassCurves, sure_answers
from pipeline.scoring.explanations import INPUT_LAYER

_SURE = 0.9
"""Confidence from which on an answer is called sure."""

_EVENLY = 0.05
"""So far from a quarter, the share of heat in the middle quarter of an image is nothing special."""


def heatmap_source(candidate: Candidate) -> str:
    """What the heatmaps of a candidate are made of."""
    layer = candidate.explanations.heatmap_layer
    return "the gradients by the pixels" if layer == INPUT_LAYER else f"layer {layer}"


def how_heatmaps_are_made(candidate: Candidate) -> str:
    """What a heatmap is, for the network at hand."""
    start = "A heatmap shows which places of an image spoke for the class that the network named. "
    if candidate.explanations.heatmap_layer == INPUT_LAYER:
        return (
            f"{start}{candidate_title(candidate.name)} has no convolution, so the maps show how strongly "
            "each pixel would move the answer (the gradient of the class's score by the input)."
        )
    weighing = (
        "each weighed by how much it speaks for that class"
        if candidate.explanations.heatmap_method == "grad_cam"
        else "weighed place by place (HiResCAM: Draelos and Carin, 2020) by how much they speak for it"
    )
    return (
        f"{start}It is made by Grad-CAM (Selvaraju et al., 2017) from the maps of a late convolution, "
        f"{weighing}."
    )


def attention(candidate: Candidate) -> str:
    """Where a candidate's heatmaps lie, in right answers and in mistakes."""
    measured = measure_attention(candidate.explanations, candidate.predictions["test"])
    name = candidate_title(candidate.name)
    heatmaps = measured.right + measured.wrong
    if not heatmaps:
        return f"In no image shown here does any place speak for the class that {name} names."
    extents = [
        f"{percent(extent, 0)} of the image in {group}"
        for extent, group in (
            (measured.right_extent, counted(measured.right, "right answer")),
            (measured.wrong_extent, counted(measured.wrong, "mistake")),
        )
        if extent is not None
    ]
    text = (
        f"The places that are at least half as hot as the hottest one cover {listed(extents)} "
        f"(medians); {_middle(measured.middle)}."
    )
    if measured.empty:
        text += f" In {counted(measured.empty, 'image')} no place speaks for the class that {name} names."
    return text


def _middle(share: float) -> str:
    held = f"the middle quarter of the image holds {percent(share, 0)} of the heat"
    if abs(share - 0.25) <= _EVENLY:
        return f"{held}, about what its area would"
    return f"{held}, {'more' if share > 0.25 else 'less'} than its area would"


def compared_images(results: Results, rows: np.ndarray) -> str:
    """Which images the networks are compared on; `rows` are rows of the test subset."""
    right = np.sum([candidate.predictions["test"].right[rows] for candidate in results.candidates], axis=0)
    disputed = int(((right > 0) & (right < len(results.candidates))).sum())
    start = "Above the image its class, above each heatmap the answer"
    if not disputed:
        return f"{start}. On these images all networks are right, or all are wrong."
    return f"{start}. On {whole(disputed)} of these {whole(len(rows))} images some are right and some wrong."


def how_maps_are_made(candidate: Candidate) -> list[str]:
    """What the maps of the features show, and what cannot be read from them."""
    kept = percent(float(candidate.explanations.explained_variance.sum()), 0)
    return [
        "Before its last layer, a network has turned each image into a list of numbers, its features. "
        "Two maps show these lists as points: images that the network finds alike lie close together. "
        "Where groups run into each other, it confuses their classes.",
        f"PCA is a straight projection and keeps {kept} of the variance here; t-SNE bends the space so "
        "that near neighbors stay near. In t-SNE neither the distance between groups nor their size "
        "means anything.",
    ]


def map_caption(points_shown: int, colored: int, others: bool, mistakes: int) -> str:
    """`others` says whether there are points of more than the colored classes."""
    text = f"{whole(points_shown)} test images"
    if mistakes:
        text += "; crosses are mistakes"
    if others:
        classes = counted(colored, "class", "classes")
        chosen = f"the {classes} with most mistakes" if mistakes else f"the first {classes}"
        return f"{text}. In color: {chosen}; all others gray."
    return f"{text}, in the color of the actual class."


def separation(candidate: Candidate, curves: Sequence[ClassCurves], class_names: Sequence[str]) -> str:
    """How well the classes are told apart at any threshold."""
    name = candidate_title(candidate.name)
    mean = float(np.mean([each.average_precision for each in curves]))
    area = float(np.mean([each.roc_area for each in curves]))
    text = (
        f"Over {counted(len(curves), 'class', 'classes')}, {name} has a mean average precision of "
        f"{area_text(mean)} and a mean area under the ROC curve of {area_text(area)}."
    )
    hardest = min(curves, key=lambda each: each.average_precision)
    if hardest.average_precision == 1.0:
        return f"{text} Every class has a threshold that separates it from all others without a mistake."
    return (
        f"{text} Hardest to separate is {quoted(class_names[hardest.label])} "
        f"(average precision {area_text(hardest.average_precision)})."
    )


def rejection(candidate: Candidate) -> str:
    """What would remain if a candidate answered only where it is sure."""
    predictions = candidate.predictions["test"]
    name = candidate_title(candidate.name)
    decimals = accuracy_decimals(len(predictions))
    found = sure_answers(predictions, _SURE)
    if found.accuracy is None:
        return f"{name} is not {percent(_SURE, 0)} sure of any answer."
    if found.share == 1.0:
        return f"{name} is at least {percent(_SURE, 0)} sure of every answer."
    return (
        f"If {name} answered only where it is at least {percent(_SURE, 0)} sure, it would answer for "
        f"{percent(found.share)} of the test images and be right on {percent(found.accuracy, decimals)} "
        f"of those (of all: {percent(float(predictions.right.mean()), decimals)})."
    )


def confidences(candidate: Candidate) -> str:
    """The medians of confidence in right and in wrong answers."""
    predictions = candidate.predictions["test"]
    confidence = predictions.probabilities.max(axis=1).astype(np.float64)
    medians = [
        f"{percent(float(np.median(confidence[chosen])), 0)} where it is {word}"
        for chosen, word in ((predictions.right, "right"), (~predictions.right, "wrong"))
        if chosen.any()
    ]
    return f"Median confidence: {listed(medians)}."
