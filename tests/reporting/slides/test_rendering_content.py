"""What the slides choose of a document, and what they say about a project whose numbers are known."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.report import build_document
from pipeline.reporting.document import (
    Bars,
    Chart,
    Definitions,
    Details,
    Document,
    Dots,
    Finding,
    Gallery,
    Heading,
    Lines,
    Paragraph,
    ReportSection,
    Row,
    Slide,
    Stack,
    Strips,
    Table,
)
from pipeline.reporting.results import RunResults
from pipeline.reporting.slides.rendering import shown_texts, slides_of, speaker_notes, visual_of
from pipeline.scoring.intervals import Interval
from tests.reporting.fake_project import FakeProject, settings, write_fake_project
from tests.reporting.samples import chart, example, table

Build = Callable[..., dict[str, Slide]]


def test_a_slide_shows_findings_and_its_first_visual_and_tells_the_rest() -> None:
    first, folded = chart("first"), Details("More", (Paragraph("Folded away."), table()))
    texts = (Paragraph("Shown."), Paragraph("Told.", spoken=True))
    slide = Slide(
        name="data",
        title="Title",
        blocks=(Heading("Heading"), Row((first, Stack(texts))), Finding("Found."), folded, chart("second")),
        notes="Before.",
    )
    assert visual_of(slide) is first
    assert shown_texts(slide) == ["Shown.", "Found."]
    assert speaker_notes(slide) == "Before. Shown. Told. Found."


def test_a_table_beside_a_chart_becomes_a_sentence() -> None:
    setting = Table("The setting", ("Name", "Value"), (("lr", "0.1"), ("depth", "3")))
    assert shown_texts(Slide("search", "", (chart("trials"), setting))) == ["The setting: lr 0.1; depth 3."]
    assert shown_texts(Slide("search", "", (setting,))) == []


def test_of_many_definitions_and_images_the_first_are_shown_and_all_told() -> None:
    items = tuple((f"Term {number}", "means it") for number in range(9))
    slide = Slide("limits", "", (Definitions(items),))
    assert shown_texts(slide) == [f"Term {number}: means it" for number in range(6)]
    assert speaker_notes(slide).endswith("Term 8: means it")
    gallery = Gallery("all", "Images.", tuple(example(number) for number in range(9)))
    assert shown_texts(Slide("mistakes", "", (gallery,))) == ["Images. Shown: the first 8."]


def test_slides_tell_a_story_of_their_own() -> None:
    """The report begins with its results, the slides with the data."""
    names = ("accuracy", "use", "data")
    slides = tuple(Slide(name, name, ()) for name in names)
    section = ReportSection("a", "A", (Row(slides[:1]), *slides[1:]))
    assert [slide.name for slide in slides_of(Document("", "", (section,)))] == ["data", "accuracy", "use"]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """The slides about a fake project, by their names."""

    def built(project: FakeProject | None = None) -> dict[str, Slide]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        document = build_document(
            RunResults.load(write_fake_project(folder, project or FakeProject())), settings()
        )
        return {slide.name: slide for slide in slides_of(document)}

    return built


def data_of(slide: Slide) -> Bars | Lines | Dots | None:
    visual = visual_of(slide)
    assert isinstance(visual, Chart)
    return visual.data


def test_charts_show_the_results(build: Build) -> None:
    """Of 100 test images Baseline has 10 wrong, Transfer 5, Tuned 8; intervals are -4.1 and +3.2 points."""
    slides = build()
    accuracy, trials = data_of(slides["accuracy"]), data_of(slides["search"])
    assert isinstance(accuracy, Dots)
    assert accuracy.categories == ("Baseline", "Transfer", "Tuned")
    assert accuracy.series[0].values == pytest.approx((0.90, 0.95, 0.92))
    assert accuracy.intervals is not None
    assert accuracy.intervals[0] == Interval(0.859, 0.932)
    assert isinstance(trials, Dots)
    assert trials.categories == ("0", "1", "3")  # the third one failed
    assert trials.series[0].values == pytest.approx((0.90, 0.92, 0.85))
    learning, fitting = data_of(slides["learning"]), data_of(slides["fitting"])
    assert isinstance(learning, Lines)
    assert isinstance(fitting, Lines)
    assert learning.series[1].values == pytest.approx((0.62, 0.80, 0.89, 0.93, 0.94))
    assert fitting.series[0].values == pytest.approx((0.60, 0.80, 0.90, 0.94, 0.95))
    data, recall = data_of(slides["data"]), data_of(slides["classes"])
    assert isinstance(data, Bars)
    assert isinstance(recall, Bars)
    assert [series.values[0] for series in data.series] == [8, 4, 10]
    # Transfer gets rows 0, 4, 8 (class 0), 12 and 16 (class 1) of ten images each wrong.
    assert recall.categories[:2] == ("0", "1")
    assert recall.series[0].values[:3] == pytest.approx((0.7, 0.8, 1.0))


def test_the_title_tells_the_result(build: Build) -> None:
    slides = build()
    assert slides["accuracy"].title == "Transfer is right on 95.0\u00a0% of the test images"
    assert slides["mistakes"].title == "Transfer makes 5\u00a0mistakes"


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
def test_any_project_has_a_dozen_slides_with_notes(build: Build, project: FakeProject) -> None:
    slides = build(project)
    assert 12 <= 1 + len(slides) <= 15
    for slide in slides.values():
        assert slide.title
        assert shown_texts(slide)
        assert all(shown_texts(slide))
        # Whole sentences: the last one ends.
        notes = speaker_notes(slide)
        assert notes.endswith((".", "?"))
        assert len(re.findall(r"[.?](?:\s|$)", notes)) >= 1
        assert "  " not in notes


def test_only_what_can_be_read_stands_on_a_slide(build: Build) -> None:
    """A matrix of a hundred classes cannot; a table of the most confused pairs can."""
    few, many = build(), build(FakeProject(classes=tuple(f"class {k}" for k in range(100))))
    assert isinstance(visual_of(few["confusion"]), Chart)
    pairs = visual_of(many["confusion"])
    assert isinstance(pairs, Table)
    assert pairs.rows[0][:2] == ("class 0", "class 1")
    for name in ("data", "classes"):
        bars = data_of(many[name])
        assert isinstance(bars, Bars)
        assert len(bars.categories) == 12
    tiles = visual_of(many["problem"])
    assert isinstance(tiles, Strips)
    assert len(tiles.strips) == 12
