"""The file as PowerPoint gets it. That two processes write the same bytes is tested with the PDF."""

import io
import re
import zipfile
from typing import Any

import pytest
from pptx import Presentation
from pptx.enum.shapes import MSO_SHAPE_TYPE
from pptx.oxml.ns import qn

from pipeline.reporting.document import Dots, Series
from pipeline.scoring.intervals import Interval
from tests.reporting.samples import HOSTILE, chart, slides_file, with_slides


@pytest.fixture(scope="module")
def content() -> bytes:
    return slides_file(with_slides())


@pytest.fixture(scope="module")
def slides(content: bytes) -> list[Any]:
    return list(Presentation(io.BytesIO(content)).slides)


def visual(slide: Any, kind: MSO_SHAPE_TYPE) -> Any:
    return next(shape for shape in slide.shapes if shape.shape_type == kind)


def test_the_same_bytes_again(content: bytes) -> None:
    assert slides_file(with_slides()) == content


def test_it_tells_no_date(content: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        properties = archive.read("docProps/core.xml")
        assert not re.search(rb"20[0-9]{2}-", properties)
        workbooks = [name for name in archive.namelist() if name.endswith(".xlsx")]
        assert len(workbooks) == 3
        for name in workbooks:
            with zipfile.ZipFile(io.BytesIO(archive.read(name))) as workbook:
                assert {member.date_time[0] for member in workbook.infolist()} == {1980}
                assert b"dcterms:created" not in workbook.read("docProps/core.xml")


def test_titles_texts_and_notes_are_real_ones(slides: list[Any]) -> None:
    """An outline shows them, a screen reader reads them, and no name is taken for anything else."""
    assert [slide.shapes.title.text for slide in slides] == [
        HOSTILE[0],
        *(f"Slide {number}" for number in range(2, 9)),
    ]
    for slide in slides[1:]:
        shown = [paragraph.text for paragraph in slide.placeholders[1].text_frame.paragraphs]
        assert shown[: len(HOSTILE)] == list(HOSTILE)
        assert slide.notes_slide.notes_text_frame.text.startswith(f"A sentence. {HOSTILE[0]} {HOSTILE[1]}")


def test_slides_are_wide_numbered_and_say_whose_they_are(content: bytes, slides: list[Any]) -> None:
    file = Presentation(io.BytesIO(content))
    assert file.slide_width / file.slide_height == pytest.approx(16 / 9, abs=0.001)
    for slide in slides[1:]:
        texts = [shape.text_frame.text for shape in slide.placeholders if shape.placeholder_format.idx > 1]
        assert HOSTILE[0] in texts
        assert [field.get("type") for field in slide.element.iter(qn("a:fld"))] == ["slidenum"]


def test_whatever_is_seen_is_described(slides: list[Any]) -> None:
    kinds = (MSO_SHAPE_TYPE.PICTURE, MSO_SHAPE_TYPE.CHART, MSO_SHAPE_TYPE.TABLE)
    described = [
        next(shape.element.iter(qn("p:cNvPr"))).get("descr")
        for slide in slides
        for shape in slide.shapes
        if shape.shape_type in kinds
    ]
    assert described == [
        f"Image folder/00000.png, taken for {HOSTILE[1]}, actually {HOSTILE[0]}",
        f"Heatmap: Image folder/00000.png, taken for {HOSTILE[1]}, actually {HOSTILE[0]}",
        "bars",
        "lines",
        "dots",
        "Table: the table",
        "alternative text of picture",
    ]


def test_charts_hold_the_numbers(slides: list[Any]) -> None:
    bars, lines, dots = (visual(slides[place], MSO_SHAPE_TYPE.CHART).chart for place in (3, 4, 5))
    # Bars are counted from below; long names keep their beginning and end.
    assert list(bars.plots[0].categories) == ["$x^2$ *bold* _u…_ `code`", "first"]
    assert tuple(bars.plots[0].series[0].values) == (1.0, 0.5)
    assert tuple(lines.plots[0].series[0].values) == (0.5, None)
    assert tuple(dots.plots[0].series[0].values) == (0.5, 0.9)
    # From the value to the ends of (0.4, 0.6) and (0.85, 1.0).
    assert error_bars(dots, "c:plus") == pytest.approx([0.1, 0.1])
    assert error_bars(dots, "c:minus") == pytest.approx([0.1, 0.05])
    assert (dots.value_axis.minimum_scale, dots.value_axis.maximum_scale) == (0.4, 1.0)


@pytest.mark.parametrize(
    ("interval", "axis"),
    [((0.8401, 0.8855), (0.84, 0.89)), ((1.0, 1.0), (0.995, 1.0)), ((0.0, 0.97), (0.0, 1.0))],
)
def test_axes_of_shares_end_at_round_numbers(
    interval: tuple[float, float], axis: tuple[float, float]
) -> None:
    """At most eight steps: 4.5 points take steps of one, 97 points steps of twenty."""
    dots = Dots(
        categories=("one",),
        series=(Series("all", (interval[1],), ""),),
        colors=("#0072b2",),
        intervals=(Interval(*interval),),
        axis_titles=("", ""),
        alt="dots",
    )
    shown = slides_file(with_slides({"accuracy": chart("dots", data=dots)}))
    slide = Presentation(io.BytesIO(shown)).slides[1]
    value_axis = visual(slide, MSO_SHAPE_TYPE.CHART).chart.value_axis
    assert (value_axis.minimum_scale, value_axis.maximum_scale) == pytest.approx(axis)


def test_tables_hold_the_texts(slides: list[Any]) -> None:
    table = visual(slides[6], MSO_SHAPE_TYPE.TABLE).table
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["Name", "Number"],
        ["@reference <label> [b…ck] {code}", "12"],
    ]


def test_nothing_lies_outside_its_slide(content: bytes, slides: list[Any]) -> None:
    file = Presentation(io.BytesIO(content))
    for slide in slides:
        for shape in slide.shapes:
            assert shape.left >= 0
            assert shape.top >= 0
            assert shape.left + shape.width <= file.slide_width
            assert shape.top + shape.height <= file.slide_height


def error_bars(chart: Any, direction: str) -> list[float]:
    series = chart.plots[0].series[0]._element
    return [float(value.text) for value in series.find(qn("c:errBars")).find(qn(direction)).iter(qn("c:v"))]
