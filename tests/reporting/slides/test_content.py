"""What the slides say about a project whose numbers are known."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.reporting.content import ReportSettings
from pipeline.reporting.document import Document
from pipeline.reporting.results import Results
from pipeline.reporting.slides import Deck, build_slides
from pipeline.reporting.slides.slide import Bars, Dots, Grid, Lines, Picture, Slide, Tiles, Visual
from tests.reporting.fake_project import FakeProject, config, write_fake_project

NO_FIGURES = {f"confusion_{name}": b"" for name in ("baseline", "transfer", "tuned")}


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Deck]:
    def built(project: FakeProject | None = None) -> Deck:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        results = Results.load(write_fake_project(folder, project or FakeProject()))
        chosen = config()
        settings = ReportSettings(chosen.seed, chosen.report, chosen.augmentation, chosen.evaluate)
        document = Document("Fake images", "220 images", sections=(), extra_charts=())
        return build_slides(results, settings, document, NO_FIGURES)

    return built


def visuals(deck: Deck, kind: type[Visual]) -> list[tuple[Slide, Visual]]:
    return [(slide, slide.visual) for slide in deck.slides if isinstance(slide.visual, kind)]


def test_charts_show_the_results(build: Callable[..., Deck]) -> None:
    """Of 100 test images Baseline has 10 wrong, Transfer 5, Tuned 8; intervals are -4.1 and +3.2 points."""
    deck = build()
    accuracy = next(each for _, each in visuals(deck, Dots) if isinstance(each, Dots) and each.intervals)
    assert isinstance(accuracy, Dots)
    assert accuracy.categories == ("Baseline", "Transfer", "Tuned")
    assert accuracy.values == pytest.approx((0.90, 0.95, 0.92))
    assert accuracy.intervals is not None
    assert accuracy.intervals[0] == pytest.approx((0.859, 0.932))
    trials = next(each for _, each in visuals(deck, Dots) if isinstance(each, Dots) and not each.intervals)
    assert isinstance(trials, Dots)
    assert trials.categories == ("1", "2", "4")  # the third one failed
    assert trials.values == pytest.approx((0.90, 0.92, 0.85))
    lines = [each for _, each in visuals(deck, Lines) if isinstance(each, Lines)]
    assert lines[0].series[1].values == pytest.approx((0.62, 0.80, 0.89, 0.93, 0.94))
    assert lines[1].series[0].values == pytest.approx((0.60, 0.80, 0.90, 0.94, 0.95))
    data, recall = (each for _, each in visuals(deck, Bars) if isinstance(each, Bars))
    assert [series.values[0] for series in data.series] == [8, 4, 10]
    # Transfer gets rows 0, 4, 8 (class 0), 12 and 16 (class 1) of ten images each wrong.
    assert recall.categories[:2] == ("0", "1")
    assert recall.series[0].values[:3] == pytest.approx((0.7, 0.8, 1.0))


def test_the_title_tells_the_result(build: Callable[..., Deck]) -> None:
    titles = [slide.title for slide in build().slides]
    assert "Transfer is right on 95.0\u00a0% of the test images" in titles
    assert "Transfer makes 5\u00a0mistakes" in titles


@pytest.mark.parametrize(
    "project",
    [
        FakeProject(),
        FakeProject(channels=1),
        FakeProject(wrong={"baseline": range(3)}, validation_wrong={"baseline": 1}, best="baseline"),
        FakeProject(wrong={"baseline": (), "transfer": (), "tuned": ()}),
        FakeProject(
            classes=("a", "b"),
            test_per_class=2,
            wrong=dict.fromkeys(("baseline", "transfer", "tuned"), range(4)),
        ),
        FakeProject(classes=tuple(f"a rather long name of a class, number {k}" for k in range(100))),
    ],
    ids=["usual", "grayscale", "one network", "no mistake", "nothing right", "100 classes"],
)
def test_any_project_has_a_dozen_slides_with_notes(build: Callable[..., Deck], project: FakeProject) -> None:
    deck = build(project)
    assert 12 <= 1 + len(deck.slides) <= 15
    for slide in deck.slides:
        assert slide.title
        assert all(slide.texts)
        # Whole sentences: each begins with a capital letter or a number, and the last one ends.
        assert slide.notes.endswith((".", "?"))
        assert len(re.findall(r"[.?](?:\s|$)", slide.notes)) >= 1
        assert "  " not in slide.notes
    assert deck.notes.endswith(".")


def test_only_what_can_be_read_stands_on_a_slide(build: Callable[..., Deck]) -> None:
    """A matrix of a hundred classes cannot; a table of the most confused pairs can."""
    few, many = build(), build(FakeProject(classes=tuple(f"class {k}" for k in range(100))))
    assert visuals(few, Picture)
    assert not visuals(many, Picture)
    grids = [each for slide, each in visuals(many, Grid) if slide.title == "What is taken for what"]
    assert isinstance(grids[0], Grid)
    assert grids[0].rows[1][:2] == ("class 0", "class 1")
    assert all(len(each.categories) <= 12 for _, each in visuals(many, Bars) if isinstance(each, Bars))
    assert all(len(each.tiles) <= 12 for _, each in visuals(many, Tiles) if isinstance(each, Tiles))
