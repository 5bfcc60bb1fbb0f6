"""What stands on a slide beside its text: charts that PowerPoint can edit, tables, pictures."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from PIL import Image
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE, XL_LABEL_POSITION, XL_LEGEND_POSITION, XL_MARKER_STYLE
from pptx.enum.text import MSO_ANCHOR, MSO_AUTO_SIZE, PP_ALIGN
from pptx.oxml import parse_xml
from pptx.oxml.ns import nsdecls, qn
from pptx.util import Inches, Pt

from pipeline.foundation.texts import shortened
from pipeline.reporting.document import (
    Bars,
    Chart,
    ChartData,
    Dots,
    Example,
    Gallery,
    Lines,
    Strip,
    Strips,
    Table,
)
from pipeline.reporting.house_style import judged
from pipeline.reporting.pictures import image_png
from pipeline.reporting.slides import theme
from pipeline.reporting.slides.text_fitting import fitted_name, text_width
from pipeline.reporting.slides.theme import Box, Drawn, place, rgb
from pipeline.reporting.wording import percent
from pipeline.scoring.intervals import Interval

Visual = Chart | Table | Gallery | Strips

MOST_EXAMPLES = 8
_PERCENT, _WHOLE_PERCENT, _WHOLE = "0.0 %", "0 %", "#,##0"
"""Number formats, as office programs write them; those with a percent sign multiply by 100."""

_LONGEST_NAME, _LONGEST_CELL = 24, 32
"""Characters of a category of a chart, and of a table's cell."""

_CHART_TEXT = 12
_MOST_STEPS = 12
"""Labels of steps below a line chart; with more steps, only some are named."""

_CELL_MARGIN = 0.08
"""Inches, left and right of a table cell's text."""

_TABLE_SIZES = (16, 8)
_TITLE_LINES = 2
_ROW_GAP = 0.2
"""Inches between the lines of a table."""

_BOLD = 1.17
"""Bold text is wider by about so much."""

_TILE_LABEL, _TILE_NOTE = 11, 10
_GAP = 0.12
"""Inches between tiles."""

_STEPS, _MOST_INTERVALS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2), 8
"""Of axes of shares."""

_MARKERS = (XL_MARKER_STYLE.CIRCLE, XL_MARKER_STYLE.SQUARE, XL_MARKER_STYLE.TRIANGLE)


def draw_visual(slide: Drawn, visual: Visual, pictures: Mapping[str, bytes], box: Box) -> None:
    """Draw the visual as large as the box allows; `pictures` are PNG bytes of charts by their names."""
    match visual:
        case Chart(data=Bars() as data):
            _draw_bars(slide, data, box)
        case Chart(data=Lines() as data):
            _draw_lines(slide, data, box)
        case Chart(data=Dots() as data):
            _draw_dots(slide, data, box)
        case Chart():
            _draw_picture(slide, pictures[visual.name], visual.alt, box)
        case Gallery():
            _draw_tiles(slide, [_example_tile(each) for each in visual.examples[:MOST_EXAMPLES]], box)
        case Strips():
            _draw_tiles(slide, [_strip_tile(strip) for strip in visual.strips], box)
        case Table():
            _draw_table(slide, visual, box)
        case _:
            assert_never(visual)


def describe(shape: Drawn, text: str) -> None:
    """Give the shape a text for people who do not see it."""
    next(shape.element.iter(qn("p:cNvPr"))).set("descr", text)


# --- pictures ---------------------------------------------------------------------------------------


def _draw_picture(slide: Drawn, png: bytes, alt: str, box: Box) -> None:
    with Image.open(io.BytesIO(png)) as picture:
        width, height = picture.size
    scale = min(box.width / width, box.height / height)
    shape = slide.shapes.add_picture(io.BytesIO(png), 0, 0)
    left = box.left + (box.width - scale * width) / 2
    top = box.top + (box.height - scale * height) / 2
    place(shape, Box(left, top, scale * width, scale * height))
    describe(shape, alt)


@dataclass(frozen=True)
class _Tile:
    """PNG files of images that belong together, each with what it shows, and a line or two below."""

    images: tuple[tuple[bytes, str], ...]
    label: str
    note: str


def _example_tile(shown: Example) -> _Tile:
    """Label: the answer. Note: how sure it was and, of a wrong one, what would have been right."""
    alt = f"Image {shown.name}, taken for {shown.predicted}, actually {shown.actual}"
    images = [(image_png(shown.image), alt)]
    if shown.overlay is not None:
        images.append((image_png(shown.overlay), f"Heatmap: {alt}"))
    sure = percent(shown.confidence, 0)
    note = sure if shown.right else f"{sure}, actually {shown.actual}"
    return _Tile(tuple(images), judged(shown.predicted, shown.right), note)


def _strip_tile(strip: Strip) -> _Tile:
    """Its first image."""
    image = (image_png(strip.images[0]), f"An image of {strip.label}")
    return _Tile((image,), strip.label, strip.note)


def _draw_tiles(slide: Drawn, tiles: Sequence[_Tile], box: Box) -> None:
    """Tiles in rows, as large as they can be."""
    texts = _tile_text_height(tiles)
    images = max(len(tile.images) for tile in tiles)
    columns = max(
        range(1, len(tiles) + 1), key=lambda columns: _tile_side(len(tiles), columns, images, texts, box)
    )
    side = _tile_side(len(tiles), columns, images, texts, box)
    width = box.width / columns
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        left, top = box.left + column * width, box.top + row * (side + texts + _GAP)
        for place_in_tile, (png, alt) in enumerate(tile.images):
            square = Box(left + place_in_tile * (side + _GAP / 2), top, side, side)
            _draw_picture(slide, png, alt, square)
        _draw_tile_text(slide, tile, Box(left, top + side, width - _GAP, texts))


def _tile_text_height(tiles: Sequence[_Tile]) -> float:
    """Inches for a line of label, and one of note where there are notes."""
    return 0.24 + (0.2 if any(tile.note for tile in tiles) else 0.0)


def _tile_side(count: int, columns: int, images: int, texts: float, box: Box) -> float:
    """Inches of a square image where the tiles stand in so many columns."""
    rows = math.ceil(count / columns)
    across = (box.width / columns - _GAP) / images - _GAP / 2 * (images - 1) / images
    return min(across, box.height / rows - texts - _GAP)


def _draw_tile_text(slide: Drawn, tile: _Tile, box: Box) -> None:
    shape = slide.shapes.add_textbox(0, 0, 0, 0)
    place(shape, box)
    frame = shape.text_frame
    frame.auto_size, frame.word_wrap = MSO_AUTO_SIZE.NONE, True
    frame.margin_left = frame.margin_right = frame.margin_bottom = 0
    frame.margin_top = Inches(0.03)
    for number, (text, size) in enumerate(((tile.label, _TILE_LABEL), (tile.note, _TILE_NOTE))):
        if not text:
            continue
        paragraph = frame.paragraphs[0] if number == 0 else frame.add_paragraph()
        paragraph.text = fitted_name(text, theme.in_points(box.width) / _BOLD, size)
        paragraph.font.name, paragraph.font.size = theme.FONT, Pt(size)
        paragraph.font.bold = number == 0
        paragraph.font.color.rgb = theme.INK if number == 0 else theme.MUTED


# --- charts -----------------------------------------------------------------------------------------


def _draw_bars(slide: Drawn, bars: Bars, box: Box) -> None:
    stacked = len(bars.series) > 1
    kind = XL_CHART_TYPE.BAR_STACKED if stacked else XL_CHART_TYPE.BAR_CLUSTERED
    # Charts count from below.
    series = [replace(each, values=each.values[::-1]) for each in bars.series]
    number_format = _PERCENT if bars.shares else _WHOLE
    upward = replace(bars, categories=bars.categories[::-1], series=tuple(series))
    chart = _add_chart(slide, kind, upward, number_format, box)
    plot = chart.plots[0]
    plot.gap_width = 40
    if stacked:
        plot.overlap = 100
    for drawn, each in zip(plot.series, series, strict=True):
        drawn.format.fill.solid()
        drawn.format.fill.fore_color.rgb = rgb(each.color)
    axis = chart.value_axis
    axis.minimum_scale = 0
    if bars.shares:
        axis.maximum_scale, axis.major_unit = 1, 0.2
    _format_numbers(axis.tick_labels, _WHOLE_PERCENT if bars.shares else _WHOLE)
    if stacked:
        _add_legend(chart)
    else:
        _label_points(plot, number_format)
        plot.data_labels.position = XL_LABEL_POSITION.INSIDE_END
        plot.data_labels.font.color.rgb = theme.WHITE


def _draw_lines(slide: Drawn, lines: Lines, box: Box) -> None:
    chart = _add_chart(slide, XL_CHART_TYPE.LINE_MARKERS, lines, _PERCENT, box)
    for number, (drawn, series) in enumerate(zip(chart.plots[0].series, lines.series, strict=True)):
        drawn.smooth = False
        drawn.format.line.color.rgb = rgb(series.color)
        drawn.format.line.width = Pt(2.25)
        _set_marker(drawn.marker, _MARKERS[number % len(_MARKERS)], series.color, 6)
    _scale_shares(chart, lines, [value for series in lines.series for value in series.values])
    _add_legend(chart)


def _draw_dots(slide: Drawn, dots: Dots, box: Box) -> None:
    chart = _add_chart(slide, XL_CHART_TYPE.LINE_MARKERS, dots, _PERCENT, box)
    values = [value for value in dots.series[0].values if value is not None]
    series = chart.plots[0].series[0]
    series.smooth = False
    series.format.line.fill.background()
    for number, color in enumerate(dots.colors):
        _set_marker(series.points[number].marker, _MARKERS[0], color, 12)
    if dots.intervals is not None:
        _add_error_bars(series, values, dots.intervals)
    _label_points(chart.plots[0], _PERCENT)
    ends = [end for interval in dots.intervals or () for end in (interval.low, interval.high)]
    _scale_shares(chart, dots, [*values, *ends])
    chart.has_legend = False


def _add_chart(slide: Drawn, kind: XL_CHART_TYPE, data: ChartData, number_format: str, box: Box) -> Drawn:
    untyped: Drawn = CategoryChartData
    content = untyped(number_format=number_format)
    content.categories = [shortened(name, _LONGEST_NAME, cut="middle") for name in data.categories]
    for series in data.series:
        content.add_series(series.name, series.values)
    frame = slide.shapes.add_chart(kind, *(Inches(length) for length in vars(box).values()), content)
    describe(frame, data.alt)
    chart = frame.chart
    for axis, title in zip((chart.category_axis, chart.value_axis), data.axis_titles, strict=True):
        if title:
            _title_axis(axis, title)
    chart.has_title = False
    chart.font.name, chart.font.size = theme.FONT, Pt(_CHART_TEXT)
    chart.font.color.rgb = theme.INK
    chart.value_axis.major_gridlines.format.line.color.rgb = rgb("#dcdcdc")
    chart.value_axis.format.line.fill.background()
    chart.category_axis.format.line.color.rgb = theme.MUTED
    return chart


def _scale_shares(chart: Drawn, data: ChartData, values: Sequence[float | None]) -> None:
    """Between round shares below the lowest value and above the highest, in steps that are easy to read.

    Of many categories some are named.
    """
    known = [value for value in values if value is not None]
    lowest, highest = min(known), max(known)
    step = next((step for step in _STEPS if highest - lowest <= _MOST_INTERVALS * step), _STEPS[-1])
    top = min(1.0, math.ceil(highest / step) * step)
    bottom = min(math.floor(lowest / step) * step, top - step)
    axis = chart.value_axis
    axis.minimum_scale, axis.maximum_scale = round(max(0.0, bottom), 6), round(top, 6)
    axis.major_unit = step
    _format_numbers(axis.tick_labels, _PERCENT if step < 0.01 else _WHOLE_PERCENT)
    _name_every(chart, math.ceil(len(data.categories) / _MOST_STEPS))


def _label_points(plot: Drawn, number_format: str) -> None:
    plot.has_data_labels = True
    _format_numbers(plot.data_labels, number_format)
    plot.data_labels.font.size = Pt(_CHART_TEXT)


def _format_numbers(labels: Drawn, number_format: str) -> None:
    labels.number_format, labels.number_format_is_linked = number_format, False


def _title_axis(axis: Drawn, title: str) -> None:
    axis.has_title = True
    frame = axis.axis_title.text_frame
    frame.text = title
    font = frame.paragraphs[0].font
    font.size, font.bold = Pt(_CHART_TEXT), False


def _name_every(chart: Drawn, steps: int) -> None:
    """Label every `steps`-th category only; python-pptx has no word for it."""
    axis = chart.category_axis._element  # the XML of an axis is not public in python-pptx 1.0
    skip = parse_xml(f'<c:tickLblSkip {nsdecls("c")} val="{steps}"/>')
    successors = ("c:tickMarkSkip", "c:noMultiLvlLbl", "c:extLst")
    before = next((child for name in successors if (child := axis.find(qn(name))) is not None), None)
    if before is None:
        axis.append(skip)
    else:
        before.addprevious(skip)


def _add_legend(chart: Drawn) -> None:
    chart.has_legend = True
    chart.legend.position = XL_LEGEND_POSITION.TOP
    chart.legend.include_in_layout = False
    chart.legend.font.size = Pt(_CHART_TEXT)


def _set_marker(marker: Drawn, style: XL_MARKER_STYLE, color: str, size: int) -> None:
    marker.style, marker.size = style, size
    marker.format.fill.solid()
    marker.format.fill.fore_color.rgb = rgb(color)
    marker.format.line.color.rgb = rgb(color)


def _add_error_bars(series: Drawn, values: Sequence[float], intervals: Sequence[Interval]) -> None:
    """Bars from the lower to the upper end of each interval; python-pptx has none, the format has."""
    pairs = list(zip(values, intervals, strict=True))
    above = _numbers([interval.high - value for value, interval in pairs])
    below = _numbers([value - interval.low for value, interval in pairs])
    bars = parse_xml(
        f'<c:errBars {nsdecls("c", "a")}><c:errDir val="y"/><c:errBarType val="both"/>'
        f'<c:errValType val="cust"/><c:noEndCap val="0"/><c:plus>{above}</c:plus><c:minus>{below}</c:minus>'
        '<c:spPr><a:ln w="22225"><a:solidFill><a:srgbClr val="5F6368"/></a:solidFill></a:ln></c:spPr>'
        "</c:errBars>"
    )
    series._element.find(qn("c:cat")).addprevious(bars)


def _numbers(values: Sequence[float]) -> str:
    points = "".join(f'<c:pt idx="{place}"><c:v>{value!r}</c:v></c:pt>' for place, value in enumerate(values))
    return (
        f'<c:numLit><c:formatCode>General</c:formatCode><c:ptCount val="{len(values)}"/>{points}</c:numLit>'
    )


# --- tables -----------------------------------------------------------------------------------------


def _draw_table(slide: Drawn, table: Table, box: Box) -> None:
    """As wide as the box, in the largest type in which no cell needs a second line."""
    cells = [
        [shortened(text, _LONGEST_CELL, cut="middle") for text in row] for row in (table.columns, *table.rows)
    ]
    size, widths = _table_size(cells, box)
    line = 1.2 * size / theme.in_points(1.0)
    heights = [_TITLE_LINES * line + _ROW_GAP, *([line + _ROW_GAP] * len(table.rows))]
    frame = slide.shapes.add_table(len(cells), len(widths), 0, 0, 0, 0)
    place(frame, Box(box.left, box.top, sum(widths), sum(heights)))
    describe(frame, f"Table: {table.caption}")
    drawn = frame.table
    for column, width in zip(drawn.columns, widths, strict=True):
        column.width = Inches(width)
    for row, texts in enumerate(cells):
        drawn.rows[row].height = Inches(heights[row])
        for column, text in enumerate(texts):
            cell = drawn.cell(row, column)
            _fill_cell(cell, text, size, header=row == 0, strong=row - 1 in table.strong)
            if table.numeric[column]:
                cell.text_frame.paragraphs[0].alignment = PP_ALIGN.RIGHT


def _table_size(cells: Sequence[Sequence[str]], box: Box) -> tuple[int, list[float]]:
    """Size of the type in points, and widths of the columns in inches."""
    largest, smallest = _TABLE_SIZES
    widths: list[float] = []
    for size in range(largest, smallest - 1, -1):
        widths = [_column_width(texts, size) for texts in zip(*cells, strict=True)]
        if sum(widths) <= box.width:
            break
    stretch = box.width / sum(widths)
    return size, [width * stretch for width in widths]


def _column_width(texts: Sequence[str], size: int) -> float:
    """Inches for the cells of a column, and for its title on two lines."""
    title, *cells = texts
    words = title.split(" ")
    splits = ((" ".join(words[:cut]), " ".join(words[cut:])) for cut in range(1, len(words) + 1))
    title_width = min(max(_text_width(part, size) for part in split) for split in splits)
    return max(title_width, *(_text_width(cell, size) for cell in cells)) + 2 * _CELL_MARGIN


def _text_width(text: str, size: int) -> float:
    """Inches of a line of bold text."""
    return _BOLD * text_width(text, size) / theme.in_points(1.0)


def _fill_cell(cell: Drawn, text: str, size: int, header: bool, strong: bool) -> None:
    cell.margin_left = cell.margin_right = Inches(_CELL_MARGIN)
    cell.margin_top = cell.margin_bottom = 0
    cell.vertical_anchor = MSO_ANCHOR.MIDDLE
    cell.fill.solid()
    cell.fill.fore_color.rgb = theme.ACCENT if header else theme.PANEL
    cell.text_frame.text = text
    font = cell.text_frame.paragraphs[0].font
    font.name, font.size, font.bold = theme.FONT, Pt(size), header or strong
    font.color.rgb = theme.WHITE if header else theme.INK
