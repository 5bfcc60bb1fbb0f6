"""The images: where they come from, how many there are of each class, what they look like."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.foundation.array_types import Int64
from pipeline.images.augmentation import augment
from pipeline.images.catalogue import Provenance, UnusedFile
from pipeline.params.augmentation import AugmentationParams
from pipeline.reporting.document import (
    Bars,
    Block,
    Chart,
    Details,
    Heading,
    Row,
    Series,
    Slide,
    Stack,
    Strip,
    Strips,
    Table,
    paragraphs,
)
from pipeline.reporting.house_style import SUBSET_COLORS
from pipeline.reporting.results import ReportSettings, RunResults
from pipeline.reporting.topics.data.figures import class_distribution_figure, image_rows_figure
from pipeline.reporting.wording import SPACE, compact, counted, listed, quoted, whole

_ALIKE = 1.1
"""Classes whose sizes differ by less than this factor count as equally frequent."""

_MOST_SAMPLES = 400
"""Sample images in all: with many classes each gets fewer, so that the page stays light."""

_OPEN_CLASSES = 12
_CLASSES_IN_FIGURE = 10
_CLASSES_ON_SLIDE = 12
_AUGMENTED_IMAGES = 4
_VARIANTS = 7
_MOST_UNUSED = 50


def data(results: RunResults, settings: ReportSettings) -> Iterator[Block]:
    sizes = {name: len(subset) for name, subset in results.subsets.items()}
    texts = paragraphs(
        data_source(results),
        image_sizes(results),
        class_sizes(results.class_counts["train"], results.class_names),
        files_of_the_source(results.source),
        duplicates(results),
        conflicting_labels(results),
        left_out(results),
    )
    yield Slide(
        name="data",
        title=f"The data: {counted(sum(sizes.values()), 'image')} in three subsets",
        blocks=(Row((_distribution_chart(results), Stack(texts))),),
        notes=f"There are {listed([f'{whole(size)} {name}' for name, size in sizes.items()])} images. "
        "Networks learn from the training images alone, are chosen by the validation images, and are judged "
        "by the test images.",
    )
    yield Details("Table: images per class and subset", (_class_table(results),))
    if results.rejected:
        yield Details("Table: files that could not be used", (_unused_table(results.rejected),))
    if results.ignored:
        yield Details("Table: files that were passed over", (_unused_table(results.ignored),))
    yield Heading("What the images show")
    yield from _samples(results, settings)
    yield Heading("What augmentation does")
    yield from paragraphs(augmentation(settings.augmentation), searched_augmentation(results))
    if any(settings.augmentation.model_dump().values()):
        yield _augmented(results, settings)


# --- sentences --------------------------------------------------------------------------------------


def data_source(results: RunResults) -> str:
    source = results.source
    return (
        f"{counted(source.images, 'image')} of {len(results.class_names)} classes. "
        f"Source: {source.origin.rstrip('.')}."
    )


def image_sizes(results: RunResults) -> str:
    """What the originals measure, and what the networks see of them."""
    widths, heights = results.original_sizes.T
    size = results.preprocessing.image_size
    color = "in color" if results.preprocessing.color == "rgb" else "in shades of gray"
    seen = f"The networks see them at {size}×{size} pixels {color}"
    if widths.min() == widths.max() and heights.min() == heights.max():
        sizes = f"The originals measure {widths[0]}×{heights[0]} pixels."
    else:
        sizes = (
            f"The originals are {widths.min()} to {widths.max()} pixels wide and "
            f"{heights.min()} to {heights.max()} pixels high."
        )
    if (widths == heights).all():
        return f"{sizes} {seen}."
    how = {"pad": "padded to a square", "crop": "cropped to a square", "stretch": "stretched to a square"}
    return f"{sizes} {seen}, {how[results.preprocessing.resize]}."


def class_sizes(counts: Int64[np.ndarray, " k"], class_names: Sequence[str]) -> str:
    """Whether the classes are equally frequent among the training images."""
    smallest, largest = int(np.argmin(counts)), int(np.argmax(counts))
    low, high = int(counts[smallest]), int(counts[largest])
    if low == high:
        return f"Every class has {counted(high, 'training image')}."
    if high <= _ALIKE * low:
        return f"The classes are about equally frequent: {whole(low)} to {whole(high)} training images each."
    text = f"The classes differ in size: {quoted(class_names[largest])} has {counted(high, 'training image')}"
    if not low:
        return f"{text}, {quoted(class_names[smallest])} has none."
    return f"{text}, {high / low:.1f} times as many as {quoted(class_names[smallest])} ({whole(low)})."


def duplicates(results: RunResults) -> str:
    """Images that occur more than once, and what was done about them."""
    split = results.split
    if not split.duplicate_groups:
        return "No image occurs twice, pixel by pixel."
    text = (
        f"{counted(split.duplicate_images, 'image')} in {counted(split.duplicate_groups, 'group')} are "
        "identical to another one, pixel by pixel."
    )
    counts = {"train": split.removed_from_train, "validation": split.removed_from_validation}
    removed = [f"{whole(count)} from {subset}" for subset, count in counts.items() if count]
    if removed:
        return f"{text} So that no test image is known beforehand, copies were removed: {listed(removed)}."
    return f"{text} No two of the same group are in different subsets."


def conflicting_labels(results: RunResults) -> str:
    count = results.split.conflicting_labels
    if not count:
        return ""
    return (
        f"In {counted(count, 'group')} of identical images the labels contradict each other: no model can be "
        "right on all of them."
    )


def files_of_the_source(source: Provenance) -> str:
    """What became of all of them."""
    found = sum(source.files.values())
    if found == source.images:
        return "Every file of the source could be used."
    parts = [f"{whole(source.images)} are used"]
    if source.rejected:
        parts.append(f"{whole(source.rejected)} could not be used")
    if source.ignored:
        parts.append(f"{whole(source.ignored)} are not meant as images of a class and were passed over")
    return f"Of the {counted(found, 'file')} of the source, {listed(parts)}."


def left_out(results: RunResults) -> str:
    count = results.split.left_out_by_limit
    if not count:
        return ""
    were = counted(count, "image was", "images were")
    return f"{were} left out of training by the limit in split.train_limit."


def augmentation(params: AugmentationParams) -> str:
    """What may happen to a training image before a network sees it."""
    changes = [
        text
        for on, text in (
            (params.horizontal_flip, "mirrored left to right"),
            (params.vertical_flip, "turned upside down"),
            (params.shift, f"shifted by up to {_share(params.shift)} of its side"),
            (params.rotation, f"rotated by up to {compact(params.rotation)} degrees"),
            (params.zoom, f"enlarged or shrunk by up to {_share(params.zoom)}"),
            (params.brightness, f"made brighter or darker by up to {_share(params.brightness)}"),
            (params.contrast, f"changed in contrast by up to {_share(params.contrast)}"),
            (params.cutout, f"covered by a square of {_share(params.cutout)} of its side"),
            (
                params.random_erasing,
                f"painted over by a rectangle of noise (probability {_share(params.random_erasing)})",
            ),
            (params.mixup, f"blended with another one (mixup, alpha {compact(params.mixup)})"),
            (params.cutmix, f"patched with a part of another one (cutmix, alpha {compact(params.cutmix)})"),
        )
        if on
    ]
    if not changes:
        return "The networks see the training images as they are: all augmentation is turned off."
    return (
        f"Each time a network sees a training image, it may be {listed(changes)}. This is augmentation: it "
        "teaches the network what does not matter, and is applied to training images only."
    )


def _share(share: float) -> str:
    """A share as it may stand in params.yaml: 0.125 -> "12.5 %"."""
    return f"{compact(100 * share)}{SPACE}%"


def searched_augmentation(results: RunResults) -> str:
    """What the search decided about augmentation; empty where that is what the others have."""
    others = [each.card.hyperparameters for each in results.candidates if each.name != "tuned"]
    given: Mapping[str, Any] = others[0].get("augmentation", {}) if others else {}
    chosen = [
        f"{name} {compact(value)}"
        for name, value in results.best_hyperparameters.items()
        if name in AugmentationParams.model_fields and value != given.get(name)
    ]
    return f"For Tuned, the search chose its own settings of it: {listed(chosen)}." if chosen else ""


# --- charts, tables, images -------------------------------------------------------------------------


def _distribution_chart(results: RunResults) -> Chart:
    counts, names = results.class_counts, results.class_names
    total = np.sum(list(counts.values()), axis=0)
    # With many classes only the rarest fit on a slide, which are the ones to know.
    few = len(names) <= _CLASSES_ON_SLIDE
    chosen = np.arange(len(names)) if few else np.argsort(total, kind="stable")[:_CLASSES_ON_SLIDE]
    alt = f"Images per class, from {total.min()} to {total.max()}, stacked by subset."
    return Chart(
        name="classes",
        figure=class_distribution_figure(counts, names),
        alt=alt,
        caption="How the images of each class are divided among the three subsets.",
        data=Bars(
            categories=tuple(names[label] for label in chosen),
            series=tuple(
                Series(subset, tuple(images[chosen].tolist()), SUBSET_COLORS[subset])
                for subset, images in counts.items()
            ),
            axis_titles=("", "images" if few else f"images of the {len(chosen)} smallest classes"),
            alt=alt,
        ),
    )


def _class_table(results: RunResults) -> Table:
    counts = results.class_counts
    rows = [
        (name, *(whole(int(images[label])) for images in counts.values()))
        for label, name in enumerate(results.class_names)
    ]
    total = ("All", *(whole(int(images.sum())) for images in counts.values()))
    return Table(
        caption="Images per class and subset",
        columns=("Class", *(subset.capitalize() for subset in counts)),
        rows=(*rows, total),
        separated=frozenset({len(rows)}),
    )


def _unused_table(files: Sequence[UnusedFile]) -> Table:
    reasons = Counter(each.reason for each in files)
    shown = tuple((each.file, each.reason) for each in files[:_MOST_UNUSED])
    caption = "; ".join(f"{reason}: {counted(count, 'file')}" for reason, count in reasons.most_common(5))
    if len(shown) < len(files):
        caption += f" (the first {len(shown)} shown)"
    return Table(caption=caption, columns=("File", "Reason"), rows=shown, text_columns=frozenset({0, 1}))


def samples_chart(results: RunResults, settings: ReportSettings) -> Chart:
    """The samples of the first classes as one figure."""
    rows = [(each.label, each.images) for each in _sample_strips(results, settings)[:_CLASSES_IN_FIGURE]]
    figure = image_rows_figure(rows, "Images of the training subset")
    return Chart(name="samples", figure=figure, alt="Sample images of each class.")


def first_images(results: RunResults) -> Strips:
    """A training image of each class, of the first classes where there are many."""
    train = results.subsets["train"]
    labels, rows = np.unique(train.labels, return_index=True)
    shown = [(results.class_names[label], rows[place]) for place, label in enumerate(labels)]
    which = (
        "each class" if len(shown) <= _CLASSES_ON_SLIDE else f"each of the first {_CLASSES_ON_SLIDE} classes"
    )
    return Strips(
        f"Shown: one training image of {which}.",
        tuple(Strip(name, "", train.images[[row]]) for name, row in shown[:_CLASSES_ON_SLIDE]),
    )


def _samples(results: RunResults, settings: ReportSettings) -> Iterator[Block]:
    strips = _sample_strips(results, settings)
    caption = "Random images of the training subset, with the number of training images of each class."
    yield Strips(caption, strips[:_OPEN_CLASSES])
    if folded := strips[_OPEN_CLASSES:]:
        summary = f"The other {counted(len(folded), 'class', 'classes')}"
        yield Details(summary, (Strips(summary, folded),))


def _sample_strips(results: RunResults, settings: ReportSettings) -> tuple[Strip, ...]:
    train = results.subsets["train"]
    each = max(2, min(settings.report.examples_per_class, _MOST_SAMPLES // len(results.class_names)))
    generator = np.random.default_rng(settings.seed)
    strips = []
    for label, name in enumerate(results.class_names):
        rows = np.flatnonzero(train.labels == label)
        if len(rows):
            chosen = np.sort(generator.choice(rows, size=min(each, len(rows)), replace=False))
            strips.append(Strip(name, whole(len(rows)), np.asarray(train.images[chosen])))
    return tuple(strips)


def _augmented(results: RunResults, settings: ReportSettings) -> Strips:
    """A few training images, each as it is and changed in several ways."""
    train, mean = results.subsets["train"], results.statistics.mean
    generator = np.random.default_rng(settings.seed)
    rows = _one_per_class(train.labels, generator)
    labels, images = train.labels[rows], np.asarray(train.images[rows])
    targets = np.eye(len(results.class_names), dtype=np.float32)[labels]
    variants = [augment(images, targets, settings.augmentation, mean, generator)[0] for _ in range(_VARIANTS)]
    stacked = np.stack([images, *variants], axis=1)[:_AUGMENTED_IMAGES]
    caption = f"On the left the image as it is, then {_VARIANTS} times as a network may see it."
    if settings.augmentation.mixup or settings.augmentation.cutmix:
        caption += " What looks like another image is one that was mixed in."
    names = [results.class_names[label] for label in labels]
    return Strips(caption, tuple(Strip(name, "", each) for name, each in zip(names, stacked, strict=False)))


def _one_per_class(
    labels: Int64[np.ndarray, " n"], generator: np.random.Generator
) -> Int64[np.ndarray, " rows"]:
    """Rows of one image each of different classes; more than are shown, so that mixing has partners."""
    classes = generator.permutation(np.unique(labels))[: 2 * _AUGMENTED_IMAGES]
    return np.array([generator.choice(np.flatnonzero(labels == label)) for label in classes])
