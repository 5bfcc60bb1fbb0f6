"""The terms that the report uses."""

from collections.abc import Iterator

from pipeline.reporting.document import Block, Definitions
from pipeline.reporting.results import ReportSettings, RunResults

_TERMS = (
    ("Accuracy", "The share of images whose most probable class is the right one."),
    (
        "Precision and recall",
        "Of the images that were given a class, the share that belong to it (precision); of the images that "
        "belong to a class, the share that were given it (recall).",
    ),
    ("F1", "The harmonic mean of precision and recall: high only if both are."),
    ("Macro average", "The mean over the classes, each counting the same however many images it has."),
    (
        "Interval",
        "Where the figure could have come out had other test images been drawn: found by drawing from the "
        "test images again and again (bootstrap). It says nothing about what another training would give.",
    ),
    (
        "Log loss",
        "How surprised the model is by the right answers; 0 is perfect, and sure mistakes cost most.",
    ),
    (
        "Brier score",
        "Squared distance between probabilities and truth: 0 is perfect, 2 is sure and always wrong.",
    ),
    (
        "Calibration error (ECE)",
        "How far confidence and the share of right answers differ on average, in bins of similar confidence.",
    ),
    (
        "Average precision, ROC area",
        "How well one class is separated from all others over every threshold of its probability: 1 is "
        "perfect. Chance gives the class's share of the images (average precision) and 0.5 (ROC area).",
    ),
    (
        "Heatmap",
        "Which places of an image spoke for the class that was named: where a network looks, not why.",
    ),
    (
        "Feature",
        "A number that a network has computed from an image; the last ones before its answer sum up what it "
        "makes of the image.",
    ),
    (
        "PCA and t-SNE",
        "Two ways of drawing long lists of numbers as points on a plane: the first keeps as much of their "
        "spread as a projection can, the second keeps neighbors together.",
    ),
    (
        "Rank correlation",
        "Whether two figures rise together (+1), one falls while the other rises (−1), or neither (0); only "
        "their order counts (Spearman).",
    ),
    ("p-value", "How often chance alone would give a difference or a correlation at least as large."),
    (
        "Weights and multiplications",
        "Weights are the numbers that training adjusts. Multiplications (with an addition each) are the work "
        "that one image takes.",
    ),
    ("Epoch", "One pass over all training images."),
    ("Loss", "What training makes small: how far the answers are from the labels."),
    (
        "Baseline, Transfer, Tuned",
        "A network trained from scratch; one that starts from what another learned; and one of the "
        "two with the setting that a search ended with.",
    ),
    ("Majority class", "A reference that looks at no image and always names the most frequent class."),
    ("Logistic regression", "A reference without layers: it weighs the pixels of the image shrunk to 8×8."),
)


def glossary(_results: RunResults, _settings: ReportSettings) -> Iterator[Block]:
    yield Definitions(_TERMS)
