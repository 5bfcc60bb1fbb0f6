"""What the artists of a figure hold; how it looks is for people to judge."""

import dataclasses
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from pipeline.inference.model_card import LayerSummary
from pipeline.reporting.document import Example
from pipeline.reporting.figures import confusion_matrix_figure, figure_png, save_figure
from pipeline.reporting.figures.calibration import confidence_figure, reliability_figure
from pipeline.reporting.figures.comparison import MeasuredAccuracy, accuracy_figure, per_class_figure
from pipeline.reporting.figures.curves import false_alarm_limit, precision_recall_figure, roc_figure
from pipeline.reporting.figures.data import class_distribution_figure, image_rows_figure, mosaic_of
from pipeline.reporting.figures.examples import examples_figure
from pipeline.reporting.figures.features import (
    feature_maps_figure,
    feature_space_figure,
    filters_figure,
    highlighted_classes,
)
from pipeline.reporting.figures.heatmaps import (
    compared_heatmaps_figure,
    heatmaps_figure,
    overlay,
    shown_rows,
)
from pipeline.reporting.figures.networks import network_blocks, network_figure
from pipeline.reporting.figures.style import class_labels
from pipeline.reporting.figures.training import training_curves_figure, validation_accuracy_figure
from pipeline.reporting.figures.tuning import trials_figure
from pipeline.reporting.results import History, Trial
from pipeline.scoring.calibration import Calibration
from pipeline.scoring.curves import class_curves
from pipeline.scoring.explanations import Explanations
from pipeline.scoring.predictions import Predictions


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def lines(axes: Axes, gid: str) -> list[tuple[list[float], list[float]]]:
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines if line.get_gid() == gid]


def test_confusion_matrix_shows_counts_and_shares() -> None:
    matrix = np.array([[8, 2], [0, 40]])
    figure = confusion_matrix_figure(matrix, ["cat", "dog"], "A title")
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.8, 0.2], [0.0, 1.0]])
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {
        ((0, 0), "8"),
        ((1, 0), "2"),
        ((1, 1), "40"),
    }
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "actual class")
    assert axes.get_title(loc="left") == "A title"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]


def test_a_class_without_images_has_an_empty_row() -> None:
    figure = confusion_matrix_figure(np.array([[3, 0], [0, 0]]), ["a", "b"], "")
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), [[1, 0], [0, 0]])


@pytest.mark.parametrize("count", [31, 200])
def test_a_large_confusion_matrix_has_no_numbers_and_bounded_size(count: int) -> None:
    figure = confusion_matrix_figure(np.eye(count, dtype=int), [f"class {i}" for i in range(count)], "")
    assert texts(figure.axes[0]) == []
    assert max(figure.get_size_inches()) < 20
    assert figure.axes[0].get_xlabel() == ("predicted class" if count == 31 else "predicted class (number)")


def test_names_that_a_figure_cannot_show() -> None:
    assert class_labels(["cat", "猫", "$x_1$", "an extraordinarily long name 1"]) == [
        "cat",
        "<U+732B>",
        "$x_1$",
        "an extraordina…name 1",
    ]


def test_a_figure_gives_the_same_bytes_without_date_or_version(tmp_path: Path) -> None:
    def draw() -> Figure:
        return confusion_matrix_figure(np.eye(3, dtype=int), ["$a$", "b_1", "ü"], "Title")

    save_figure(draw(), tmp_path / "figure.png")
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "text.parse_math": True}):
        assert figure_png(draw()) == (tmp_path / "figure.png").read_bytes()
    with Image.open(tmp_path / "figure.png") as picture:
        assert set(picture.info) == {"dpi"}


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    before = dict(mpl.rcParams)
    figure_png(confusion_matrix_figure(np.eye(2, dtype=int), ["a", "b"], ""))
    assert dict(mpl.rcParams) == before


def test_class_distribution_stacks_the_subsets() -> None:
    counts = {"train": np.array([5, 7]), "validation": np.array([1, 2]), "test": np.array([3, 3])}
    axes = class_distribution_figure(counts, ["a", "b"]).axes[0]
    bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
    assert bars == [(0, 5), (0, 7), (5, 1), (7, 2), (6, 3), (9, 3)]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "train (12)",
        "validation (3)",
        "test (6)",
    ]
    assert axes.get_title(loc="left") == "Images per class: 9 to 12"


def test_many_classes_are_ordered_by_size() -> None:
    sizes = np.arange(1, 41)
    axes = class_distribution_figure({"train": sizes}, [str(i) for i in sizes]).axes[0]
    assert [bar.get_height() for bar in axes.patches] == list(range(40, 0, -1))


def test_mosaic_puts_images_side_by_side() -> None:
    black, gray = np.zeros((1, 2, 2, 1), np.uint8), np.full((2, 2, 2, 1), 100, np.uint8)
    mosaic = mosaic_of([black, gray], gap=1)
    assert mosaic.shape == (5, 5, 3)
    np.testing.assert_array_equal(
        mosaic[..., 0],
        [
            [0, 0, 255, 255, 255],
            [0, 0, 255, 255, 255],
            [255, 255, 255, 255, 255],
            [100, 100, 255, 100, 100],
            [100, 100, 255, 100, 100],
        ],
    )


def test_image_rows_are_labeled_in_their_middle() -> None:
    images = np.zeros((2, 4, 4, 3), np.uint8)
    axes = image_rows_figure([("a", images), ("b", images)], "Samples").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    np.testing.assert_allclose(axes.get_yticks(), [1.75, 6.25])


@pytest.fixture
def history() -> History:
    return History(
        phases=("head", "head", "fine_tune"),
        epochs=np.array([1, 2, 3]),
        loss=np.array([0.9, 0.6, 0.3]),
        accuracy=np.array([0.5, 0.6, 0.8]),
        val_loss=np.array([1.0, 0.7, 0.5]),
        val_accuracy=np.array([0.4, 0.6, 0.7]),
        learning_rate=np.array([0.1, 0.2, 0.05]),
    )


def test_training_curves_hold_the_history(history: History) -> None:
    accuracy, loss, rate = training_curves_figure(history, 2, "Title").axes
    curves = {line.get_label(): list(line.get_ydata()) for line in accuracy.lines}
    assert curves["training images"] == [0.5, 0.6, 0.8]
    assert curves["validation images"] == [0.4, 0.6, 0.7]
    assert list(loss.lines[0].get_ydata()) == [0.9, 0.6, 0.3]
    assert list(loss.lines[1].get_ydata()) == [1.0, 0.7, 0.5]
    assert list(rate.lines[0].get_ydata()) == [0.1, 0.2, 0.05]
    assert rate.get_xlabel() == "epoch"


def test_training_curves_mark_phases_and_the_kept_epoch(history: History) -> None:
    for axes in training_curves_figure(history, 2, "Title").axes:
        assert lines(axes, "kept epoch")[0][0] == [2, 2]
        assert lines(axes, "phase")[0][0] == [2.5, 2.5]
    names = texts(training_curves_figure(history, 2, "Title").axes[0])
    assert names == ["head only", "fine-tuning"]


def test_a_single_phase_is_not_marked(history: History) -> None:
    whole = History(**{**vars(history), "phases": ("train",) * 3})
    axes = training_curves_figure(whole, 3, "Title").axes[0]
    assert lines(axes, "phase") == []
    assert texts(axes) == []


def test_validation_curves_lie_over_each_other(history: History) -> None:
    axes = validation_accuracy_figure({"baseline": history, "tuned": history}).axes[0]
    assert [line.get_label() for line in axes.lines] == ["Baseline", "Tuned"]
    assert axes.lines[0].get_color() != axes.lines[1].get_color()
    assert axes.lines[0].get_marker() != axes.lines[1].get_marker()


def test_accuracies_with_their_intervals() -> None:
    rows = [
        MeasuredAccuracy("Baseline", "baseline", 0.90, 0.92, 0.94, 0.93),
        MeasuredAccuracy("Majority class", None, 0.08, 0.10, 0.12, None),
    ]
    everything, enlarged = accuracy_figure(rows, "Title").axes
    assert lines(everything, "Baseline") == [([0.92], [0])]
    assert lines(everything, "Majority class") == [([0.10], [1])]
    assert list(everything.lines[0].get_xdata()) == [0.90, 0.94]
    assert lines(enlarged, "Baseline") == [([0.92], [0])]
    assert lines(enlarged, "Majority class") == []
    assert everything.get_xlim()[0] == 0


def test_per_class_scores() -> None:
    axes = per_class_figure({"baseline": np.array([0.5, 0.9])}, ["a", "b"], "Title").axes[0]
    assert list(axes.lines[0].get_xdata()) == [0.5, 0.9]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]


def test_reliability_shows_bins_and_hollow_points_for_few_images() -> None:
    calibration = Calibration(
        bins=np.array([6, 9]),
        confidence=np.array([0.55, 0.85]),
        accuracy=np.array([0.2, 0.9]),
        images=np.array([9, 91]),
    )
    diagram, histogram = reliability_figure(calibration, "blue", "Title").axes
    _, many, few = diagram.lines
    assert (list(many.get_xdata()), list(many.get_ydata())) == ([0.85], [0.9])
    assert (list(few.get_xdata()), list(few.get_ydata())) == ([0.55], [0.2])
    assert few.get_markerfacecolor() == "white"
    assert [bar.get_height() for bar in histogram.patches] == [9, 91]


def trial(name: str, accuracy: float | None, **hyperparameters: str) -> Trial:
    return Trial(name, accuracy is not None, 3, None, accuracy, hyperparameters)


def test_trials_are_drawn_in_order_and_against_each_hyperparameter() -> None:
    trials = [
        trial("a", 0.8, lr="0.001", optimizer="sgd"),
        trial("b", None, lr="0.1", optimizer="adam"),
        trial("c", 0.9, lr="0.1", optimizer="adam"),
    ]
    figure = trials_figure(trials, trials[2], "Title")
    order, rate, optimizer = (axes for axes in figure.axes if axes.get_visible())
    assert lines(order, "trials") == [([1, 3], [0.8, 0.9])]
    assert lines(order, "best") == [([3], [0.9])]
    assert lines(rate, "trials") == [([0.001, 0.1], [0.8, 0.9])]
    assert rate.get_xscale() == "log"
    assert [label.get_text() for label in optimizer.get_xticklabels()] == ["adam", "sgd"]
    assert lines(optimizer, "trials") == [([1, 0], [0.8, 0.9])]


def test_labels_of_logarithmic_axes_are_numbers() -> None:
    rates = ("0.0004", "0.002", "0.003", "0.004", "0.005", "0.006", "0.007", "0.02")
    trials = [trial(rate, 0.8, lr=rate) for rate in rates]
    figure = trials_figure(trials, None, "Title")
    figure.canvas.draw()
    labels = [label.get_text() for label in figure.axes[1].get_xticklabels(which="both")]
    assert {"0.001", "0.01"} <= set(labels)
    assert all(label == "" or float(label) for label in labels)


def layer(kind: str, shape: tuple[int, ...], parameters: int = 0, trainable: bool = True) -> LayerSummary:
    return LayerSummary(kind.lower(), kind, shape, parameters, 0, trainable)


def test_layers_of_one_size_are_one_block() -> None:
    blocks = network_blocks(
        [
            layer("InputLayer", (8, 8, 3)),
            layer("ReLU", (8, 8, 4)),
            layer("Conv2D", (8, 8, 4), 100),
            layer("Conv2D", (8, 8, 4), 10, trainable=False),
            layer("Dense", (2,), 5, trainable=False),
        ]
    )
    assert [block.output_shape for block in blocks] == [(8, 8, 3), (8, 8, 4), (2,)]
    assert blocks[1].kinds == (("Conv2D", 2), ("ReLU", 1))
    assert [block.parameters for block in blocks] == [0, 110, 5]
    assert [block.trainable for block in blocks] == [False, True, False]


def test_a_deep_network_is_gathered_by_resolution() -> None:
    deep = [layer("Conv2D", (side, side, channels), 1) for side in (32, 16, 8) for channels in range(1, 20)]
    blocks = network_blocks([*deep, layer("Dense", (10,), 1)])
    assert [block.output_shape for block in blocks] == [(32, 32, 19), (16, 16, 19), (8, 8, 19), (10,)]
    assert [block.parameters for block in blocks] == [19, 19, 19, 1]


def test_the_drawing_names_every_block() -> None:
    axes = network_figure([layer("InputLayer", (8, 8, 3)), layer("Dense", (2,), 386)], "Title").axes[0]
    assert texts(axes) == ["8×8×3", "InputLayer", "2", "386 weights", "Dense"]
    bars = [patch.get_width() for patch in axes.patches if hasattr(patch, "get_width")]
    assert bars[0] > bars[1]


def test_examples_name_prediction_and_truth() -> None:
    example = Example(
        name="x.png",
        image=np.zeros((4, 4, 1), np.uint8),
        actual="dog",
        predicted="cat",
        probabilities=(("cat", 0.8), ("bird", 0.15)),
        actual_probability=0.05,
    )
    axes = examples_figure([example], "Title").axes[0]
    assert axes.get_title().replace("\u00a0", " ") == "✗ cat (80 %)"
    assert texts(axes) == ["actually dog"]
    assert example.shown_probabilities == (("cat", 0.8), ("bird", 0.15), ("dog", 0.05))


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_the_legend_of_large_subsets_is_not_cut(classes: int) -> None:
    counts = {name: np.full(classes, 600_000 // classes) for name in ("train", "validation", "test")}
    figure = class_distribution_figure(counts, [f"species {number}" for number in range(classes)])
    figure.canvas.draw()
    legend = figure.axes[0].get_legend().get_window_extent()
    assert figure.bbox.x0 <= legend.x0
    assert legend.x1 <= figure.bbox.x1


def test_an_overlay_is_gray_where_it_is_cold_and_colored_where_it_is_hot() -> None:
    image = np.full((8, 8, 3), (200, 40, 40), np.uint8)
    heatmap = np.zeros((2, 2), np.float32)
    heatmap[0, 0] = 1.0
    hot = overlay(image, heatmap)
    assert hot.shape == (8, 8, 3)
    cold_corner = hot[-1, -1].astype(int)
    assert np.ptp(cold_corner) == 0
    assert cold_corner[0] == round(0.75 * (0.299 * 200 + 0.587 * 40 + 0.114 * 40))
    assert np.ptp(hot[0, 0].astype(int)) > 50


def test_an_overlay_of_a_gray_image_without_heat_is_that_image_dimmed() -> None:
    image = np.arange(16, dtype=np.uint8).reshape(4, 4, 1) * 16
    dimmed = overlay(image, np.zeros((2, 2), np.float32))
    np.testing.assert_allclose(dimmed, np.repeat(0.75 * image, 3, axis=2), atol=0.51)


IMAGES = np.zeros((4, 8, 8, 3), np.uint8)
ANSWERS = Predictions(
    np.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4], [0.2, 0.8]], np.float32),
    np.array([0, 0, 1, 1]),
    np.arange(4),
)
"""Rows 0 and 3 are right; 1 and 2 are wrong, 1 with more confidence."""

EXPLAINED = Explanations(
    rows=np.arange(4),
    heatmaps=np.ones((4, 2, 2), np.float32),
    heatmap_method="hires_cam",
    heatmap_layer="conv",
    feature_rows=np.arange(1),
    feature_maps={},
    feature_channels={},
    filters=None,
    map_rows=np.arange(4),
    pca=np.zeros((4, 2), np.float32),
    tsne=np.zeros((4, 2), np.float32),
    explained_variance=np.zeros(2, np.float32),
)


def test_heatmaps_stand_below_right_answers_and_mistakes() -> None:
    canvas = heatmaps_figure(IMAGES, ANSWERS, EXPLAINED, ["cat", "dog"], "Title").axes[0]
    said = [text.replace("\u00a0", " ") for text in texts(canvas)]
    assert [text for text in said if "sure" in text] == [
        "✓ cat\n90 % sure",
        "✓ dog\n80 % sure",
        "✗ dog\n70 % sure",
        "✗ cat\n60 % sure",
    ]
    assert [text for text in said if "actually" in text] == ["actually cat", "actually dog"]
    assert len(canvas.images) == 2 * 4 + 1  # each image, its heatmap, and the scale of colors
    width, height = canvas.get_figure().get_size_inches()
    assert (canvas.get_xlim(), canvas.get_ylim()) == ((0, width), (height, 0))


def test_right_answers_are_spread_over_the_classes() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    right = Predictions(np.eye(3, dtype=np.float32)[labels], labels, np.arange(6))
    chosen, wrong = shown_rows(right, np.arange(6), 3)
    assert chosen.tolist() == [0, 3, 5]
    assert wrong.tolist() == []
    assert shown_rows(right, np.arange(6), 4)[0].tolist() == [0, 1, 3, 5]


def test_a_network_without_mistakes_shows_none() -> None:
    right = Predictions(np.eye(2, dtype=np.float32), np.array([0, 1]), np.arange(2))
    canvas = heatmaps_figure(IMAGES, right, _only(EXPLAINED, 2), ["cat", "dog"], "Title").axes[0]
    assert "Right answers" in texts(canvas)
    assert "Mistakes" not in texts(canvas)


def _only(explanations: Explanations, count: int) -> Explanations:
    return dataclasses.replace(
        explanations, rows=explanations.rows[:count], heatmaps=explanations.heatmaps[:count]
    )


def test_heatmaps_of_candidates_are_compared_on_the_same_images() -> None:
    both = {"baseline": (ANSWERS, EXPLAINED), "tuned": (ANSWERS, EXPLAINED)}
    canvas = compared_heatmaps_figure(IMAGES, both, np.array([1, 3]), ["cat", "dog"], "Title").axes[0]
    assert texts(canvas) == [
        *("Title", "no part", "most"),
        *("cat", "dog"),
        *("Baseline", "✗ dog", "✓ dog"),
        *("Tuned", "✗ dog", "✓ dog"),
    ]
    assert len(canvas.images) == 1 + 2 * 3


def test_feature_maps_are_stretched_to_their_own_range() -> None:
    maps = {"conv_1": np.stack([np.array([[2.0, 4.0], [3.0, 2.0]]), np.full((2, 2), 7.0)], axis=2)}
    canvas = feature_maps_figure(IMAGES[0], maps, "Title").axes[0]
    _, first, constant = canvas.images
    np.testing.assert_array_equal(np.asarray(first.get_array())[..., 0], [[0, 255], [128, 0]])
    np.testing.assert_array_equal(np.asarray(constant.get_array()), np.zeros((2, 2, 3)))
    assert "conv_1 (2×2)" in texts(canvas)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_a_filter_is_gray_where_its_weight_is_zero(channels: int) -> None:
    filters = np.zeros((2, 2, channels, 1), np.float32)
    filters[0, 0], filters[1, 1] = 0.2, -0.4
    picture = np.asarray(filters_figure(filters, "Title").axes[0].images[0].get_array())
    np.testing.assert_array_equal(picture[..., 0], [[191, 128], [128, 0]])


def test_a_map_marks_classes_and_mistakes() -> None:
    points = np.array([[0, 0], [1, 0], [5, 5], [6, 5]], np.float32)
    right = np.array([True, False, True, True])
    figure = feature_space_figure(points, np.array([0, 0, 1, 1]), right, ["cat", "dog"], "T", ("x", "y"))
    axes = figure.axes[0]
    assert lines(axes, "class 0") == [([0, 1], [0, 0])]
    assert lines(axes, "class 1") == [([5, 6], [5, 5])]
    assert lines(axes, "mistakes") == [([1], [0])]
    assert texts(axes) == ["cat", "dog"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["cat", "dog", "mistake"]


def test_of_many_classes_a_map_colors_those_with_most_mistakes() -> None:
    labels = np.repeat(np.arange(100), 3)
    right = labels % 10 != 3
    named = highlighted_classes(labels, right, 100)
    assert named.tolist() == [3, 13, 23, 33, 43, 53, 63]
    points = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    figure = feature_space_figure(points, labels, right, [str(i) for i in range(100)], "T", ("", ""))
    assert texts(figure.axes[0]) == ["3", "13", "23", "33", "43", "53", "63"]
    assert len(lines(figure.axes[0], "other classes")[0][0]) == 300 - 7 * 3


def test_names_of_classes_in_one_place_do_not_overlap() -> None:
    points = np.array([[0, 0], [9, 9], *[[5, 5]] * 4], np.float32)
    labels = np.array([0, 1, 2, 3, 4, 5])
    names = [f"class {i}" for i in range(6)]
    figure = feature_space_figure(points, labels, labels >= 0, names, "T", ("", ""))
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_curves_name_the_hardest_classes() -> None:
    """Class 0 is found at once; classes 1 and 2 are mixed up with each other."""
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.5, 0.4], [0.1, 0.4, 0.5], [0.1, 0.6, 0.3]], np.float32)
    curves = class_curves(Predictions(probabilities, np.array([0, 1, 1, 2]), np.arange(4)))
    for draw in (precision_recall_figure, roc_figure):
        axes = draw(curves, ["cat", "dog", "bird"], "Title").axes[0]
        named = [text.get_text() for text in axes.get_legend().get_texts()]
        assert named[0].startswith("bird (")
        assert named[2] == "cat (1.000)"


def test_the_axis_of_false_alarms_ends_where_nearly_all_are_found() -> None:
    probabilities = np.full((102, 2), 0.5, np.float32)
    probabilities[0] = 0.9, 0.1  # the image of class 0, found before any other
    probabilities[1:, 0] = np.linspace(0.8, 0.1, 101)
    labels = np.array([0, *[1] * 101])
    perfect = class_curves(Predictions(probabilities, labels, np.arange(102)))[:1]
    assert false_alarm_limit(perfect) == 0.02
    probabilities[0, 0] = 0.59  # thirty of the others come first
    late = class_curves(Predictions(probabilities, labels, np.arange(102)))[:1]
    assert false_alarm_limit(late) == 0.5


def test_confidence_of_right_and_wrong_answers() -> None:
    upper, lower = confidence_figure(ANSWERS, "Title").axes
    assert sum(bar.get_height() for bar in upper.patches) == 2
    assert sum(bar.get_height() for bar in lower.patches) == 2
    assert lines(upper, "median")[0][0][0] == pytest.approx(0.85)
    assert lines(lower, "median")[0][0][0] == pytest.approx(0.65)
