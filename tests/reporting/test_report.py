"""Which images and classes the sections choose, and what they leave out where there is nothing to show."""

import base64
import dataclasses

import numpy as np

from pipeline.report import build_document
from pipeline.reporting.page import render_page
from pipeline.reporting.results import RunResults
from pipeline.scoring.explanations import INPUT_LAYER
from tests.reporting.conftest import Page
from tests.reporting.fake_project import FakeProject, settings
from tests.reporting.reading import Load

TINY = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)


def page_of(results: RunResults) -> Page:
    """The page about `results`, its figures laid out and described but not drawn."""
    document = build_document(results, settings())
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
    assert "On every test image at least one of the networks is right." in page.text
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
