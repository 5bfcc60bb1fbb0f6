"""The images: where they come from, how many of each class, what they look like."""

from collections import Counter

import numpy as np

from pipeline.images.augmentation import augment
from pipeline.reporting import statements
from pipeline.reporting.content.settings import ReportSettings
from pipeline.reporting.document import (
    Block,
    Chart,
    Details,
    Heading,
    Paragraph,
    Row,
    Section,
    Stack,
    Strip,
    Strips,
    Table,
)
from pipeline.reporting.figures.data import class_distribution_figure, image_rows_figure
from pipeline.reporting.results import Results
from pipeline.reporting.wording import counted, whole

_MOST_SAMPLES = 400
"""Sample images in all: with many classes each gets fewer, so that the page stays light."""

_OPEN_CLASSES = 12
_AUGMENTED_IMAGES = 4
_VARIANTS = 7
_MOST_REJECTED = 50


def data_section(results: Results, settings: ReportSettings) -> Section:
    counts = _class_counts(results)
    texts = [
        statements.data_source(results),
        statements.image_sizes(results),
        statements.class_sizes(counts["train"], results.class_names),
        statements.rejected(results),
        statements.duplicates(results),
        statements.conflicting_labels(results),
        statements.left_out(results),
    ]
    blocks: list[Block] = [
        Row((_distribution_chart(results, counts), Stack(tuple(Paragraph(text) for text in texts if text)))),
        Details("Table: images per class and subset", (_class_table(results, counts),)),
    ]
    if results.rejected:
        blocks.append(Details("Table: files that could not be used", (_rejected_table(results),)))
    blocks += [Heading("What the images show"), *_samples(results, settings)]
    blocks += [Heading("What augmentation does"), Paragraph(statements.augmentation(settings.augmentation))]
    if searched := statements.searched_augmentation(results):
        blocks.append(Paragraph(searched))
    if any(settings.augmentation.model_dump().values()):
        blocks.append(_augmented(results, settings))
    return Section(anchor="data", title="The images", blocks=tuple(blocks))


def samples_chart(results: Results, settings: ReportSettings) -> Chart:
    """The sample grid as one figure, of at most ten classes."""
    strips = _sample_strips(results, settings)[:10]
    return Chart(
        name="samples",
        figure=image_rows_figure(
            [(strip.label, strip.images) for strip in strips], "Images of the training subset"
        ),
        alt="Sample images of each class.",
        caption="",
    )


def _class_counts(results: Results) -> dict[str, np.ndarray]:
    size = len(results.class_names)
    return {name: np.bincount(subset.labels, minlength=size) for name, subset in results.subsets.items()}


def _distribution_chart(results: Results, counts: dict[str, np.ndarray]) -> Chart:
    total = np.sum(list(counts.values()), axis=0)
    return Chart(
        name="classes",
        figure=class_distribution_figure(counts, results.class_names),
        alt=f"Images per class, from {total.min()} to {total.max()}, stacked by subset.",
        caption="How the images of each class are spread over the three subsets.",
    )


def _class_table(results: Results, counts: dict[str, np.ndarray]) -> Table:
    rows = [
        (name, *(whole(int(images[label])) for images in counts.values()))
        for label, name in enumerate(results.class_names)
    ]
    total = ("All", *(whole(int(images.sum())) for images in counts.values()))
    return Table(
        caption="Images per class and subset",
        columns=("Class", *(subset.capitalize() for subset in counts)),
        rows=(*rows, total),
        numeric=(False, *(True for _ in counts)),
        separated=frozenset({len(rows)}),
    )


def _rejected_table(results: Results) -> Table:
    reasons = Counter(reason for _, reason in results.rejected)
    shown = results.rejected[:_MOST_REJECTED]
    more = len(results.rejected) - len(shown)
    caption = "; ".join(f"{reason}: {counted(count, 'file')}" for reason, count in reasons.most_common(5))
    return Table(
        caption=f"{caption}{f' (the first {len(shown)} shown)' if more else ''}",
        columns=("File", "Reason"),
        rows=shown,
        numeric=(False, False),
    )


def _samples(results: Results, settings: ReportSettings) -> list[Block]:
    strips = _sample_strips(results, settings)
    caption = (
        "Images of the training subset, drawn at random, with the number of training images of each class."
    )
    shown, folded = strips[:_OPEN_CLASSES], strips[_OPEN_CLASSES:]
    blocks: list[Block] = [Strips(caption, tuple(shown))]
    if folded:
        summary = f"The other {counted(len(folded), 'class', 'classes')}"
        blocks.append(Details(summary, (Strips(summary, tuple(folded)),)))
    return blocks


def _sample_strips(results: Results, settings: ReportSettings) -> list[Strip]:
    train = results.subsets["train"]
    size = len(results.class_names)
    each = max(2, min(settings.report.examples_per_class, _MOST_SAMPLES // size))
    generator = np.random.default_rng(settings.seed)
    strips = []
    for label, name in enumerate(results.class_names):
        rows = np.flatnonzero(train.labels == label)
        if len(rows):
            chosen = np.sort(generator.choice(rows, size=min(each, len(rows)), replace=False))
            strips.append(Strip(name, whole(len(rows)), np.asarray(train.images[chosen])))
    return strips


def _augmented(results: Results, settings: ReportSettings) -> Strips:
    """A few training images, each as it is and changed in several ways."""
    train = results.subsets["train"]
    generator = np.random.default_rng(settings.seed)
    rows = _one_per_class(train.labels, generator)
    images = np.asarray(train.images[rows])
    targets = np.eye(len(results.class_names), dtype=np.float32)[train.labels[rows]]
    variants = [images]
    for _ in range(_VARIANTS):
        variants.append(
            augment(images, targets, settings.augmentation, results.statistics.mean, generator)[0]
        )
    stacked = np.stack(variants, axis=1)
    caption = f"Left the image as it is, then {_VARIANTS} times as a network may see it."
    if settings.augmentation.mixup or settings.augmentation.cutmix:
        caption += " What looks like another image is one that was mixed in."
    return Strips(
        caption=caption,
        strips=tuple(
            Strip(results.class_names[label], "", images)
            for label, images in zip(train.labels[rows], stacked, strict=True)
        )[:_AUGMENTED_IMAGES],
    )


def _one_per_class(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Rows of one image each of different classes; more than are shown, so that mixing has partners."""
    classes = generator.permutation(np.unique(labels))[: 2 * _AUGMENTED_IMAGES]
    return np.array([generator.choice(np.flatnonzero(labels == label)) for label in classes])
