"""Which images and classes the sections choose, and what they leave out where there is nothing to show."""

import base64
import dataclasses
from collections.abc import Callable

import numpy as np

from pipeline.reporting.content import ReportSettings, build_document
from pipeline.reporting.content.explanations import compared_rows
from pipeline.reporting.content.mistakes import doubtful_rows, mutual_confusions
from pipeline.reporting.page import render_page
from pipeline.reporting.results import Results
from pipeline.scoring.explanations import INPUT_LAYER
from pipeline.scoring.predictions import Predictions
from tests.reporting.conftest import Page
from tests.reporting.fake_project import FakeProject, config

Load = Callable[[FakeProject], Results]


def test_confusions_count_in_both_directions() -> None:
    matrix = np.array([[9, 3, 2], [0, 9, 0], [4, 1, 9]])
    assert mutual_confusions(matrix, 2) == [(0, 2), (0, 1)]
    assert mutual_confusions(matrix, 9) == [(0, 2), (0, 1), (1, 2)]
    assert mutual_confusions(np.diag([1, 2, 3]), 9) == []


def with_test(results: Results, *probabilities: list[list[float]], labels: list[int]) -> Results:
    candidates = tuple(
        dataclasses.replace(
            candidate,
            predictions={
                "test": Predictions(np.array(each, np.float32), np.array(labels), np.arange(len(labels)))
            },
        )
        for candidate, each in zip(results.candidates, probabilities, strict=False)
    )
    return dataclasses.replace(results, candidates=candidates)


def test_labels_that_nobody_believes_come_first(results: Load) -> None:
    """Row 0: one network believes the label. Row 1: nobody, 0.3 on average. Row 2: nobody, 0.1."""
    found = with_test(
        results(FakeProject()),
        [[0.9, 0.1], [0.4, 0.6], [0.1, 0.9]],
        [[0.1, 0.9], [0.2, 0.8], [0.1, 0.9]],
        labels=[0, 0, 0],
    )
    assert doubtful_rows(found).tolist() == [2, 1]


def test_networks_that_disagree_among_each_other_may_believe_the_label_together(results: Load) -> None:
    found = with_test(results(FakeProject()), [[0.4, 0.6, 0.0]], [[0.4, 0.0, 0.6]], labels=[0])
    assert doubtful_rows(found).tolist() == []


def test_disputed_images_are_compared_first_then_half_wrong_half_right_ones(results: Load) -> None:
    """All three have heatmaps of 0, 10, 20, ... and of 4, 8, 12, 16, which all get wrong as they do 0.

    Of 20 Transfer alone is right; 10, 30, 40, ... are right for all.
    """
    found = results(FakeProject())
    assert compared_rows(found, 1).tolist() == [20]
    assert compared_rows(found, 5).tolist() == [0, 8, 10, 20, 60]
    assert compared_rows(found, 99).tolist() == [0, 4, 8, 10, 12, 16, *range(20, 100, 10)]


TINY = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


def page_of(results: Results) -> Page:
    """The page about `results`, its figures laid out and described but not drawn."""
    values = config()
    settings = ReportSettings(values.seed, values.report, values.augmentation, values.evaluate)
    document = build_document(results, settings)
    return Page(render_page(document, {chart.name: TINY for chart in document.charts()}, {}))


def galleries(page: Page) -> list[str]:
    return [
        str(figure.attributes["id"])
        for figure in page.all("figure")
        if str(figure.attributes.get("class")).startswith("gallery")
    ]


def test_a_class_that_is_never_predicted(results: Load) -> None:
    """All take every image of class 0 for class 1."""
    page = page_of(results(FakeProject(wrong=dict.fromkeys(("baseline", "transfer", "tuned"), range(10)))))
    assert "“0” taken for “1”, 10 of 10 test images" in page.text
    assert "On 10 they agree on the same wrong class" in page.text
    assert "nan" not in page.text


def test_no_mistake_at_all(results: Load) -> None:
    page = page_of(results(FakeProject(wrong={"baseline": (), "transfer": (), "tuned": ()})))
    assert galleries(page) == ["right_answers"]
    assert "The classes that are confused most" not in page.text
    assert "Every test image is named rightly by at least one of the networks." in page.text
    assert "Every class has a threshold that separates it" in page.text
    assert "nan" not in page.text


def test_nothing_right(results: Load) -> None:
    everything = dict.fromkeys(("baseline", "transfer", "tuned"), range(4))
    page = page_of(results(FakeProject(classes=("a", "b"), test_per_class=2, wrong=everything)))
    assert "right_answers" not in galleries(page)
    assert "nan" not in page.text


def test_a_single_network_is_not_compared(results: Load) -> None:
    found = results(
        FakeProject(wrong={"baseline": range(3)}, validation_wrong={"baseline": 1}, best="baseline")
    )
    page = page_of(found)
    assert "The same images, seen by each network" not in page.text
    assert "Images that every network gets wrong" not in page.text
    assert galleries(page) == ["mistakes_baseline", "right_answers"]


def test_a_dense_network_without_heatmaps(results: Load) -> None:
    """No convolution, no heatmap asked for, no map: what is not there is not spoken of."""
    found = results(FakeProject())
    nothing = np.zeros(0, np.int64)
    bare = dataclasses.replace(
        found.winner.explanations,
        rows=nothing,
        heatmaps=np.zeros((0, 1, 1), np.float32),
        heatmap_layer=INPUT_LAYER,
        feature_rows=nothing,
        feature_maps={},
        feature_channels={},
        filters=None,
        map_rows=nothing,
        pca=np.zeros((0, 2), np.float32),
        tsne=np.zeros((0, 2), np.float32),
    )
    candidates = tuple(dataclasses.replace(each, explanations=bare) for each in found.candidates)
    page = page_of(dataclasses.replace(found, candidates=candidates))
    assert "has no convolution" in page.text
    assert 'class="heat"' not in page.source
    assert "From pixels to features" not in page.text
    assert "The images on a map" not in page.text
    assert "nan" not in page.text
