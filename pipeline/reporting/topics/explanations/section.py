"""What the networks look at: heatmaps, feature maps, filters, and their last features as a map."""

from collections.abc import Callable, Iterator

import numpy as np

from pipeline.foundation.array_types import Float32, Int64
from pipeline.reporting.document import (
    Block,
    Chart,
    Details,
    Finding,
    Gallery,
    Heading,
    Paragraph,
    Row,
    Slide,
    paragraphs,
)
from pipeline.reporting.examples import example
from pipeline.reporting.results import Candidate, ReportSettings, RunResults
from pipeline.reporting.selection import of_different_classes
from pipeline.reporting.topics.explanations.attention import attention_sentence
from pipeline.reporting.topics.explanations.features import (
    feature_maps_figure,
    feature_space_figure,
    filters_figure,
    highlighted_classes,
)
from pipeline.reporting.topics.explanations.heatmaps import compared_heatmaps_figure, heatmaps_figure
from pipeline.reporting.wording import counted, listed, percent, shape, whole
from pipeline.scoring.explanations import INPUT_LAYER

_COMPARED_IMAGES = 8
_IMAGES_ON_SLIDE = 8


def explanations(results: RunResults, _settings: ReportSettings) -> Iterator[Block]:
    yield from _attention(results)
    yield from _compared(results)
    if features := _for_each(results, "Feature maps and filters", _features):
        yield Heading("From pixels to features")
        yield Paragraph(
            "Each layer turns the maps of the layer before into new ones. Bright is where a channel responds "
            "strongly. Early layers keep the image's outlines; later ones get coarser and respond to what "
            "matters for the classes."
        )
        yield from features
    if maps := _for_each(results, "Maps", _maps):
        yield Heading("The images on a map")
        yield from paragraphs(*how_maps_are_made(results.winner))
        yield from maps


def _for_each(
    results: RunResults, what: str, blocks_of: Callable[[RunResults, Candidate], Iterator[Block]]
) -> list[Block]:
    """The blocks of the chosen network, those of the others folded away."""
    blocks = list(blocks_of(results, results.winner))
    for other in results.others:
        if folded := tuple(blocks_of(results, other)):
            blocks.append(Details(f"{what} of {other.title}", folded))
    return blocks


# --- heatmaps ---------------------------------------------------------------------------------------


def _attention(results: RunResults) -> Iterator[Block]:
    """What heatmaps are, and those of every network; a slide where the chosen one has some."""
    winner = results.winner
    blocks = (
        Paragraph(how_heatmaps_are_made(winner), spoken=True),
        Paragraph(
            "A heatmap says where, not what or why: it cannot tell whether a shape, a color or a shadow made "
            "the difference. But a right answer whose heat lies beside the object is a warning: the network "
            "may have learned the surroundings."
        ),
        *_for_each(results, "Heatmaps", _heatmaps),
    )
    explained = winner.explanations.rows
    right = explained[winner.predictions.right[explained]]
    if not len(right):
        yield from blocks
        return
    rows = of_different_classes(winner.predictions, right, _IMAGES_ON_SLIDE)
    gallery = Gallery(
        name="attention",
        caption="Right answers, each beside its heatmap: the warmer the color, the more the place counted.",
        examples=tuple(example(results, winner, row) for row in rows.tolist()),
    )
    yield Slide("attention", f"Where {winner.title} looks", blocks, visual=gallery)


def how_heatmaps_are_made(candidate: Candidate) -> str:
    """What a heatmap is, for the network at hand."""
    start = "A heatmap shows which places of an image spoke for the class that the network named. "
    if candidate.explanations.heatmap_layer == INPUT_LAYER:
        return (
            f"{start}{candidate.title} has no convolution, so the maps show how strongly each pixel would "
            "change the answer (the gradient of the class's score by the input)."
        )
    weighting = (
        "each weighted by how much it speaks for that class"
        if candidate.explanations.heatmap_method == "grad_cam"
        else "weighted place by place (HiResCAM: Draelos and Carin, 2020) by how much they speak for it"
    )
    return (
        f"{start}It is made by Grad-CAM (Selvaraju et al., 2017) from the maps of a late convolution, "
        f"{weighting}."
    )


def _heatmaps(results: RunResults, candidate: Candidate) -> Iterator[Block]:
    found = candidate.explanations
    if not len(found.rows):
        return
    images, title = results.subsets["test"].images, f"{candidate.title}: which places spoke for its answer"
    source = (
        "the gradients by the pixels"
        if found.heatmap_layer == INPUT_LAYER
        else f"layer {found.heatmap_layer}"
    )
    places = shape(found.heatmaps.shape[1:])
    yield Finding(attention_sentence(candidate))
    yield Chart(
        name=f"heatmaps_{candidate.name}",
        figure=heatmaps_figure(images, candidate.predictions, found, results.class_names, title),
        alt=f"Test images, each above its heatmap, by whether {candidate.title} is right.",
        caption=f"From {source} ({places} places for the whole image). Each heatmap is scaled by its own "
        "maximum.",
        pictorial=True,
    )


def _compared(results: RunResults) -> Iterator[Block]:
    """The same images for every candidate; nothing with one candidate or without images in common."""
    rows = compared_rows(results, _COMPARED_IMAGES)
    if not results.others or not len(rows):
        return
    figure = compared_heatmaps_figure(
        results.subsets["test"].images,
        {each.name: (each.predictions, each.explanations) for each in results.candidates},
        rows,
        results.class_names,
        "Do the networks look at the same places?",
    )
    names = listed([each.title for each in results.candidates])
    yield Heading("The same images, seen by each network")
    yield Chart(
        name="heatmaps_compared",
        figure=figure,
        alt=f"{counted(len(rows), 'test image')}, each with the heatmaps of {names}.",
        caption=compared_images(results, rows),
        pictorial=True,
    )


def compared_images(results: RunResults, rows: Int64[np.ndarray, " rows"]) -> str:
    """Which images the networks are compared on; `rows` are rows of the test subset."""
    right = np.sum([candidate.predictions.right[rows] for candidate in results.candidates], axis=0)
    disputed = int(((right > 0) & (right < len(results.candidates))).sum())
    start = "Above each image stands its class, above each heatmap the answer"
    if not disputed:
        return f"{start}. On these images all networks are right, or all are wrong."
    return f"{start}. On {whole(disputed)} of these {whole(len(rows))} images some are right and some wrong."


def compared_rows(results: RunResults, most: int) -> Int64[np.ndarray, " rows"]:
    """Rows of the test subset with a heatmap of every candidate, rising.

    First those on which some candidates are right and some wrong; of what remains, half are images
    that all get wrong and half are right answers.
    """
    rows = results.candidates[0].explanations.rows
    for candidate in results.candidates[1:]:
        rows = np.intersect1d(rows, candidate.explanations.rows)
    right = np.sum([candidate.predictions.right[rows] for candidate in results.candidates], axis=0)
    all_wrong, all_right = rows[right == 0], rows[right == len(results.candidates)]
    disputed = _spread(np.setdiff1d(rows, np.union1d(all_wrong, all_right)), most)
    room = most - len(disputed)
    wrong = _spread(all_wrong, max(room // 2, room - len(all_right)))
    return np.sort(np.concatenate([disputed, wrong, _spread(all_right, room - len(wrong))]))


def _spread(rows: Int64[np.ndarray, " rows"], most: int) -> Int64[np.ndarray, " shown"]:
    """At most so many of the rows, at equal distances."""
    if len(rows) <= most:
        return rows
    return rows[np.arange(most) * len(rows) // most]


# --- features ---------------------------------------------------------------------------------------


def _features(results: RunResults, candidate: Candidate) -> Iterator[Block]:
    found = candidate.explanations
    if len(found.feature_rows) and found.feature_maps:
        row = int(found.feature_rows[0])
        label = results.class_names[candidate.predictions.labels[row]]
        layers = counted(len(found.feature_maps), "layer")
        image = np.asarray(results.subsets["test"].images[row])
        maps = {layer: _strongest_first(maps[0]) for layer, maps in found.feature_maps.items()}
        yield Chart(
            name=f"features_{candidate.name}",
            figure=feature_maps_figure(image, maps, f"{candidate.title}: one image in {layers}"),
            alt=f"An image of the class {label} and the strongest feature maps of {layers} of "
            f"{candidate.title}.",
            caption=f"A test image of the class {label}, and the strongest channels of each layer, each "
            "scaled to its own range. One that is black does not respond to this image.",
            pictorial=True,
        )
    if found.filters is not None:
        height, width, channels, count = found.filters.shape
        title = f"{candidate.title}: the filters of its first convolution"
        yield Chart(
            name=f"filters_{candidate.name}",
            figure=filters_figure(found.filters, title),
            alt=f"{count} filters of {height} by {width} pixels.",
            caption=f"{counted(count, 'filter')} of {shape((height, width))} pixels over "
            f"{counted(channels, 'channel')}: what each responds to. Mid-gray is a weight of zero.",
            pictorial=True,
        )


def _strongest_first(maps: Float32[np.ndarray, "h w c"]) -> Float32[np.ndarray, "h w c"]:
    """Feature maps of one image, with the channels by their mean magnitude."""
    return maps[..., np.argsort(-np.abs(maps).mean(axis=(0, 1)), kind="stable")]


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


def _maps(results: RunResults, candidate: Candidate) -> Iterator[Block]:
    found, names, rows = candidate.explanations, results.class_names, candidate.explanations.map_rows
    if len(rows) < 2:
        return
    labels, right = candidate.predictions.labels[rows], candidate.predictions.right[rows]
    named = highlighted_classes(labels, right, len(names))
    others, wrong = bool((~np.isin(labels, named)).any()), int((~right).sum())
    told = (
        f"{whole(len(rows))} test images as points, colored by their class, of {candidate.title}; "
        f"{counted(wrong, 'mistake')} marked by crosses."
    )
    first, second = (percent(float(share), 0) for share in found.explained_variance)
    maps = (
        ("PCA", found.pca, (f"first component ({first})", f"second component ({second})")),
        ("t-SNE", found.tsne, ("", "")),
    )
    charts = []
    for method, points, axes in maps:
        title = f"{candidate.title}: {method} of its features"
        figure = feature_space_figure(points, labels, right, names, title, axes)
        name = f"{method.lower().replace('-', '')}_{candidate.name}"
        caption = map_caption(len(rows), len(named), others, wrong)
        charts.append(Chart(name, figure, f"{method}: {told}", caption))
    yield Row(tuple(charts))


def map_caption(points_shown: int, colored: int, others: bool, mistakes: int) -> str:
    """`others` says whether there are points of more than the colored classes."""
    text = f"{whole(points_shown)} test images"
    if mistakes:
        text += "; crosses are mistakes"
    if not others:
        return f"{text}, in the color of the actual class."
    classes = counted(colored, "class", "classes")
    chosen = f"the {classes} with the most mistakes" if mistakes else f"the first {classes}"
    return f"{text}. In color: {chosen}; all others are gray."
