"""Slides as a PowerPoint file, made with python-pptx (https://python-pptx.readthedocs.io)."""

import copy
import io
from collections.abc import Sequence
from dataclasses import replace

from pptx.enum.shapes import PP_PLACEHOLDER
from pptx.enum.text import MSO_ANCHOR, MSO_AUTO_SIZE, PP_ALIGN
from pptx.presentation import Presentation as PresentationFile
from pptx.util import Pt

from pipeline.reporting.slides import theme
from pipeline.reporting.slides.archive import stable_archive
from pipeline.reporting.slides.fitting import fitted
from pipeline.reporting.slides.slide import Deck, Grid, Slide
from pipeline.reporting.slides.theme import Box, Drawn, place
from pipeline.reporting.slides.visuals import draw_visual

_INSIDE = 0.2
"""Inches of a text box's width that PowerPoint leaves free; of its height it is half as much."""

_LARGEST, _SMALLEST = 20, 11
_TITLE_SIZES = (theme.TITLE_SIZE, 18)
_COVER_SIZES = ((44, 24), (20, 14))
_SHORT_TABLE = 5
"""Rows, the titles included."""

_TEXT_ABOVE_COMMANDS = 1.1
_COMMAND_HEIGHT = 0.5
"""Inches."""

_COMMAND_SIZE = 16


def render_slides(deck: Deck) -> bytes:
    """The deck as the bytes of a .pptx file; the same deck gives the same bytes."""
    file = theme.new_presentation()
    _add_cover(file, deck)
    for slide in deck.slides:
        _add_slide(file, deck.title, slide)
    properties = file.core_properties
    properties.title, properties.subject = deck.title, deck.subtitle
    properties.author = properties.last_modified_by = ""
    buffer = io.BytesIO()
    file.save(buffer)
    return stable_archive(buffer.getvalue())


def _add_cover(file: PresentationFile, deck: Deck) -> None:
    drawn = file.slides.add_slide(theme.cover_layout(file))
    title, subtitle = drawn.placeholders
    boxes = (theme.COVER_TITLE, theme.COVER_SUBTITLE)
    for shape, box, text, sizes in zip(
        (title, subtitle), boxes, (deck.title, deck.subtitle), _COVER_SIZES, strict=True
    ):
        _write(shape.text_frame, (text,), box, *sizes)
        for paragraph in shape.text_frame.paragraphs:
            paragraph.alignment = PP_ALIGN.LEFT
            paragraph.font.color.rgb = theme.WHITE
    drawn.notes_slide.notes_text_frame.text = deck.notes


def _add_slide(file: PresentationFile, deck_title: str, slide: Slide) -> None:
    layout = theme.text_layout(file)
    drawn = file.slides.add_slide(layout)
    title, text = drawn.placeholders
    _write(title.text_frame, (slide.title,), theme.TITLE, *_TITLE_SIZES)
    text_box, visual_box = _boxes(slide)
    place(text, text_box)
    _write(text.text_frame, slide.texts, text_box, _LARGEST, _SMALLEST)
    if slide.commands:
        _add_commands(drawn, slide.commands, text_box)
    if slide.visual is not None:
        draw_visual(drawn, slide.visual, visual_box)
    _add_footer(drawn, deck_title)
    drawn.notes_slide.notes_text_frame.text = slide.notes


def _boxes(slide: Slide) -> tuple[Box, Box]:
    """Where the text and the visual stand: beside each other, a short table below the text."""
    if slide.commands:
        return replace(theme.WHOLE, height=_TEXT_ABOVE_COMMANDS), theme.VISUAL
    if slide.visual is None:
        return theme.WHOLE, theme.VISUAL
    if isinstance(slide.visual, Grid) and len(slide.visual.rows) <= _SHORT_TABLE:
        return theme.UPPER, theme.LOWER
    return theme.TEXT, theme.VISUAL


def _write(frame: Drawn, paragraphs: Sequence[str], box: Box, largest: int, smallest: int) -> None:
    """Fill a text box, in the largest type that fits."""
    width, height = theme.points(box.width - _INSIDE), theme.points(box.height - _INSIDE / 2)
    size, shown = fitted(paragraphs, width, height, largest, smallest)
    frame.auto_size, frame.word_wrap = MSO_AUTO_SIZE.NONE, True
    for number, text in enumerate(shown):
        paragraph = frame.paragraphs[0] if number == 0 else frame.add_paragraph()
        paragraph.text = text
        paragraph.font.size = Pt(size)
        paragraph.space_before = Pt(0)
        paragraph.space_after = Pt(size / 2)


def _add_commands(drawn: Drawn, commands: Sequence[tuple[str, str]], above: Box) -> None:
    """Commands and what they do, in a box of their own below the text."""
    height = _COMMAND_HEIGHT * len(commands) + _INSIDE
    shape = drawn.shapes.add_textbox(0, 0, 0, 0)
    place(shape, replace(above, top=above.top + above.height + _INSIDE, height=height))
    shape.name = "Commands"
    shape.fill.solid()
    shape.fill.fore_color.rgb = theme.PANEL
    frame = shape.text_frame
    frame.word_wrap, frame.vertical_anchor = True, MSO_ANCHOR.MIDDLE
    longest = max(len(command) for command, _ in commands)
    for number, (command, effect) in enumerate(commands):
        paragraph = frame.paragraphs[0] if number == 0 else frame.add_paragraph()
        paragraph.font.name, paragraph.font.size = theme.CODE_FONT, Pt(_COMMAND_SIZE)
        paragraph.space_before = paragraph.space_after = Pt(_COMMAND_SIZE / 3)
        for text, color in ((command.ljust(longest + 2), theme.INK), (f"# {effect}", theme.MUTED)):
            run = paragraph.add_run()
            run.text, run.font.color.rgb = text, color


def _add_footer(drawn: Drawn, title: str) -> None:
    """The footer and the slide's number, which slides do not take over from their layout by themselves."""
    for placeholder in drawn.slide_layout.placeholders:
        if placeholder.placeholder_format.type in (PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.SLIDE_NUMBER):
            drawn.shapes.element.append(copy.deepcopy(placeholder.element))
    for placeholder in drawn.placeholders:
        if placeholder.placeholder_format.type == PP_PLACEHOLDER.FOOTER:
            _write(placeholder.text_frame, (title,), theme.FOOTER, theme.FOOTER_SIZE, theme.FOOTER_SIZE)
            placeholder.text_frame.paragraphs[0].alignment = PP_ALIGN.LEFT
