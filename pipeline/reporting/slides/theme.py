"""How slides look: python-pptx's own template, made 16:9, with the two layouts that are used."""

from dataclasses import dataclass
from typing import Any

from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.shapes import PP_PLACEHOLDER
from pptx.enum.text import MSO_ANCHOR
from pptx.oxml.ns import qn
from pptx.presentation import Presentation as PresentationFile
from pptx.util import Inches, Pt

Drawn = Any
"""An object of python-pptx: a slide, a layout, a shape. Its own annotations are wrong in places."""

FONT = "Arial"
"""On every computer, by itself or by a font of the same widths."""

CODE_FONT = "Courier New"
TITLE_SIZE, FOOTER_SIZE = 28, 10

_TITLE_SLIDE, _TITLE_AND_TEXT = "Title Slide", "Title and Content"
_SLIDE = (13.333, 7.5)


def rgb(color: str) -> Drawn:
    """A color, "#rrggbb", as python-pptx has it."""
    untyped: Any = RGBColor
    return untyped.from_string(color.removeprefix("#").upper())


INK, MUTED, ACCENT, PANEL, WHITE = map(rgb, ("#1a1a1a", "#5f6368", "#00598c", "#f4f6f8", "#ffffff"))


@dataclass(frozen=True)
class Box:
    """A place on a slide, in inches."""

    left: float
    top: float
    width: float
    height: float


TITLE = Box(0.6, 0.35, 12.13, 1.05)
TEXT = Box(0.6, 1.65, 4.4, 5.15)
VISUAL = Box(5.3, 1.6, 7.43, 5.25)
WHOLE = Box(0.6, 1.65, 12.13, 5.15)
UPPER = Box(0.6, 1.65, 12.13, 2.45)
LOWER = Box(0.7, 4.3, 11.93, 2.5)
COVER_TITLE = Box(0.9, 2.2, 11.5, 1.7)
COVER_SUBTITLE = Box(0.9, 4.1, 11.5, 1.4)
FOOTER = Box(0.6, 6.95, 9.0, 0.35)
_NUMBER = Box(11.73, 6.95, 1.0, 0.35)


def new_presentation() -> PresentationFile:
    """An empty presentation with a layout for its title and one for all other slides."""
    file = Presentation()
    file.slide_width, file.slide_height = (Inches(length) for length in _SLIDE)
    for layout in list(file.slide_layouts):
        if layout.name not in (_TITLE_SLIDE, _TITLE_AND_TEXT):
            file.slide_layouts.remove(layout)
    _set_up_master(file.slide_master)
    _set_up_cover(cover_layout(file))
    _set_up_text_layout(text_layout(file))
    return file


def cover_layout(file: PresentationFile) -> Drawn:
    return file.slide_layouts.get_by_name(_TITLE_SLIDE)


def text_layout(file: PresentationFile) -> Drawn:
    return file.slide_layouts.get_by_name(_TITLE_AND_TEXT)


def place(shape: Drawn, box: Box) -> None:
    shape.left, shape.top = Inches(box.left), Inches(box.top)
    shape.width, shape.height = Inches(box.width), Inches(box.height)


def _set_up_master(master: Drawn) -> None:
    """Fonts, a bold title on the left, and paragraphs without bullets."""
    element = master.element
    for latin in element.iter(qn("a:latin")):
        latin.set("typeface", FONT)
    title = next(element.iter(qn("p:titleStyle"))).find(qn("a:lvl1pPr"))
    title.set("algn", "l")
    title.find(qn("a:defRPr")).set("b", "1")
    title.find(qn("a:defRPr")).set("sz", str(100 * TITLE_SIZE))
    body = next(element.iter(qn("p:bodyStyle"))).find(qn("a:lvl1pPr"))
    body.set("marL", "0")
    body.set("indent", "0")
    for bullet in ("a:buFont", "a:buChar"):
        body.remove(body.find(qn(bullet)))


def _set_up_cover(layout: Drawn) -> None:
    layout.background.fill.solid()
    layout.background.fill.fore_color.rgb = ACCENT
    _remove_placeholders(layout, PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.SLIDE_NUMBER)
    title, subtitle = layout.placeholders
    place(title, COVER_TITLE)
    place(subtitle, COVER_SUBTITLE)
    title.text_frame.vertical_anchor = MSO_ANCHOR.BOTTOM
    subtitle.text_frame.vertical_anchor = MSO_ANCHOR.TOP


def _set_up_text_layout(layout: Drawn) -> None:
    _remove_placeholders(layout, PP_PLACEHOLDER.DATE)
    title, text, footer, number = layout.placeholders
    place(title, TITLE)
    place(text, TEXT)
    place(footer, FOOTER)
    place(number, _NUMBER)


def _remove_placeholders(layout: Drawn, *kinds: PP_PLACEHOLDER) -> None:
    for placeholder in list(layout.placeholders):
        if placeholder.placeholder_format.type in kinds:
            layout.shapes.element.remove(placeholder.element)


def in_points(inches: float) -> float:
    """A length in points, of which an inch has 72."""
    return Inches(inches) / Pt(1)
