"""What the networks look at: heatmaps, feature maps, filters, and their last features as a map."""

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.reporting import observations
from pipeline.reporting.document import Block, Chart, Details, Finding, Heading, Paragraph, Row, Section
from pipeline.reporting.figures.features import (
    feature_maps_figure,
    feature_space_figure,
    filters_figure,
    highlighted_classes,
)
from pipeline.reporting.figures.heatmaps import compared_heatmaps_figure, heatmaps_figure
from pipeline.reporting.results import Candidate, Results
from pipeline.reporting.wording import candidate_title, counted, listed, percent, shape, whole

_COMPARED_IMAGES = 8


def explanations_section(results: Results) -> Section:
    return Section(
        anchor="looks",
        title="What the networks look at",
        blocks=(
            Paragraph(observations.how_heatmaps_are_made(results.winner)),
            Paragraph(
                "A heatmap says where, not what or why: it cannot tell whether a shape, a color or a "
                "shadow made the difference. But a right answer whose heat lies beside the object is a "
                "warning: the network may have learned the surroundings."
            ),
            *_for_each(results, "Heatmaps", _heatmaps),
            *_compared(results),
            *_part(
                "From pixels to features",
                [
                    "Each layer turns the maps of the layer before into new ones. Bright is where a channel "
                    "answers strongly. Early layers keep the image's outlines; later ones get coarser and "
                    "answer to what matters for the classes."
                ],
                _for_each(results, "Feature maps and filters", _features),
            ),
            *_part(
                "The images on a map",
                observations.how_maps_are_made(results.winner),
                _for_each(results, "Maps", _maps),
            ),
        ),
    )


def _part(title: str, texts: Sequence[str], pictures: Sequence[Block]) -> list[Block]:
    """A heading, texts and pictures; nothing where there is no picture."""
    if not pictures:
        return []
    return [Heading(title), *(Paragraph(text) for text in texts), *pictures]


def _for_each(
    results: Results, what: str, blocks_of: Callable[[Results, Candidate], list[Block]]
) -> list[Block]:
    """The blocks of the chosen network, those of the others folded away."""
    blocks = blocks_of(results, results.winner)
    for other in results.candidates:
        if other is not results.winner and (folded := blocks_of(results, other)):
            blocks.append(Details(f"{what} of {candidate_title(other.name)}", tuple(folded)))
    return blocks


def _heatmaps(results: Results, candidate: Candidate) -> list[Block]:
    name = candidate_title(candidate.name)
    explanations = candidate.explanations
    if not len(explanations.rows):
        return []
    return [
        Finding(observations.attention(candidate)),
        Chart(
            name=f"heatmaps_{candidate.name}",
            figure=heatmaps_figure(
                results.subsets["test"].images,
                candidate.predictions["test"],
                explanations,
                results.class_names,
                f"{name}: which places spoke for its answer",
            ),
            alt=f"Test images, each above itself with its heatmap, by whether {name} is right.",
            caption=(
                f"From {observations.heatmap_source(candidate)} "
                f"({shape(explanations.heatmaps.shape[1:])} places for the whole image). "
                "Each heatmap is scaled by its own maximum."
            ),
            pictorial=True,
        ),
    ]


def _compared(results: Results) -> list[Block]:
    """The same images for every candidate; nothing with one candidate or without images in common."""
    rows = compared_rows(results, _COMPARED_IMAGES)
    if len(results.candidates) < 2 or not len(rows):
        return []
    return [
        Heading("The same images, seen by each network"),
        Chart(
            name="heatmaps_compared",
            figure=compared_heatmaps_figure(
                results.subsets["test"].images,
                {each.name: (each.predictions["test"], each.explanations) for each in results.candidates},
                rows,
                results.class_names,
                "Do the networks look at the same places?",
            ),
            alt=(
                f"{counted(len(rows), 'test image')}, each with the heatmaps of "
                f"{listed([candidate_title(each.name) for each in results.candidates])}."
            ),
            caption=observations.compared_images(results, rows),
            pictorial=True,
        ),
    ]


def compared_rows(results: Results, most: int) -> np.ndarray:
    """Rows of the test subset with a heatmap of every candidate, int64, rising.

    First those on which some candidates are right and some wrong; of what remains, half are images
    that all get wrong and half are right answers.
    """
    rows = results.candidates[0].explanations.rows
    for candidate in results.candidates[1:]:
        rows = np.intersect1d(rows, candidate.explanations.rows)
    right = np.sum([candidate.predictions["test"].right[rows] for candidate in results.candidates], axis=0)
    all_wrong, all_right = rows[right == 0], rows[right == len(results.candidates)]
    disputed = _spread(np.setdiff1d(rows, np.union1d(all_wrong, all_right)), most)
    room = most - len(disputed)
    share = max(room // 2, room - len(all_right))
    wrong = _spread(all_wrong, share)
    return np.sort(np.concatenate([disputed, wrong, _spread(all_right, room - len(wrong))]))


def _spread(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, at equal distances."""
    if len(rows) <= most:
        return rows
    return rows[np.arange(most) * len(rows) // most]


def _features(results: Results, candidate: Candidate) -> list[Block]:
    name = candidate_title(candidate.name)
    explanations = candidate.explanations
    blocks: list[Block] = []
    if len(explanations.feature_rows) and explanations.feature_maps:
        row = int(explanations.feature_rows[0])
        label = results.class_names[candidate.predictions["test"].labels[row]]
        layers = counted(len(explanations.feature_maps), "layer")
        blocks.append(
            Chart(
                name=f"features_{candidate.name}",
                figure=feature_maps_figure(
                    np.asarray(results.subsets["test"].images[row]),
                    {layer: _strongest_first(maps[0]) for layer, maps in explanations.feature_maps.items()},
                    f"{name}: one image in {layers}",
                ),
                alt=f"An image of the class {label} and the strongest feature maps of {layers} of {name}.",
                caption=(
                    f"A test image of the class {label}, and the strongest channels of each layer, "
                    "each scaled to its own range. One that is black does not answer to this image."
                ),
                pictorial=True,
            )
        )
    if explanations.filters is not None:
        height, width, channels, count = explanations.filters.shape
        blocks.append(
            Chart(
                name=f"filters_{candidate.name}",
                figure=filters_figure(explanations.filters, f"{name}: the filters of its first convolution"),
                alt=f"{count} filters of {height} by {width} pixels.",
                caption=(
                    f"{counted(count, 'filter')} of {shape((height, width))} pixels over "
                    f"{counted(channels, 'channel')}: what each answers to. Mid-gray is a weight of zero."
                ),
                pictorial=True,
            )
        )
    return blocks


def _strongest_first(maps: np.ndarray) -> np.ndarray:
    """Feature maps of one image, float (h, w, C), with the channels by their mean magnitude."""
    return maps[..., np.argsort(-np.abs(maps).mean(axis=(0, 1)), kind="stable")]


def _maps(results: Results, candidate: Candidate) -> list[Block]:
    explanations = candidate.explanations
    rows = explanations.map_rows
    if len(rows) < 2:
        return []
    predictions = candidate.predictions["test"]
    labels, right = predictions.labels[rows], predictions.right[rows]
    first, second = (percent(float(share), 0) for share in explanations.explained_variance)
    named = highlighted_classes(labels, right, len(results.class_names))
    others = bool((~np.isin(labels, list(named))).any())
    mistakes = int((~right).sum())
    name = candidate_title(candidate.name)
    told = (
        f"{whole(len(rows))} test images as points, colored by their class, of {name}; "
        f"{counted(mistakes, 'mistake')} marked by crosses."
    )
    maps = (
        ("pca", explanations.pca, "PCA", (f"first component ({first})", f"second component ({second})")),
        ("tsne", explanations.tsne, "t-SNE", ("", "")),
    )
    return [
        Row(
            tuple(
                Chart(
                    name=f"{key}_{candidate.name}",
                    figure=feature_space_figure(
                        points, labels, right, results.class_names, f"{name}: {title} of its features", axes
                    ),
                    alt=f"{title}: {told}",
                    caption=observations.map_caption(len(rows), len(named), others, mistakes),
                )
                for key, points, title, axes in maps
            )
        )
    ]
