"""The document's slides as a PowerPoint file, made with python-pptx (https://python-pptx.readthedocs.io).

A section of the report marks what makes a slide; here is chosen what of that is shown and what is told.
"""

import copy
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pptx.enum.shapes import PP_PLACEHOLDER
from pptx.enum.text import MSO_ANCHOR, MSO_AUTO_SIZE, PP_ALIGN
from pptx.presentation import Presentation as PresentationFile
from pptx.util import Pt

from pipeline.reporting.document import (
    Block,
    Chart,
    Commands,
    Definitions,
    Document,
    Finding,
    Gallery,
    Paragraph,
    Slide,
    Strips,
    Table,
    nested_blocks,
)
from pipeline.reporting.slides import theme
from pipeline.reporting.slides.archive import stable_archive
from pipeline.reporting.slides.text_fitting import fitted
from pipeline.reporting.slides.theme import Box, Drawn, place
from pipeline.reporting.slides.visuals import MOST_EXAMPLES, Visual, draw_visual

_STORY = (
    *("problem", "data", "networks", "learning", "fitting", "search", "accuracy", "pairs", "classes"),
    *("confusion", "mistakes", "attention", "limits", "use"),
)
"""The slides by name, in their order, which is not that of the report: that begins with its results."""

_MOST_DEFINITIONS = 6
_INSIDE = 0.2
"""Inches of a text box's width that PowerPoint leaves free; of its height it is half as much."""

_LARGEST, _SMALLEST = 20, 11
_TITLE_SIZES = (theme.TITLE_SIZE, 18)
_COVER_SIZES = ((44, 24), (20, 14))
_SHORT_TABLE = 4
"""Rows."""

_TEXT_ABOVE_COMMANDS = 1.1
_COMMAND_HEIGHT = 0.5
"""Inches."""

_COMMAND_SIZE = 16


def render_slides(document: Document, pictures: Mapping[str, bytes]) -> bytes:
    """The document's slides as the bytes of a .pptx file; the same document gives the same bytes.

    Args:
      document: the report.
      pictures: PNG bytes of its charts by their names.
    """
    file = theme.new_presentation()
    _add_cover(file, document)
    for slide in slides_of(document):
        _add_slide(file, document.title, slide, pictures)
    properties = file.core_properties
    properties.title, properties.subject = document.title, document.subtitle
    properties.author = properties.last_modified_by = ""
    buffer = io.BytesIO()
    file.save(buffer)
    return stable_archive(buffer.getvalue())


# --- what is chosen ---------------------------------------------------------------------------------


def slides_of(document: Document) -> list[Slide]:
    slides = [block for block in document.blocks() if isinstance(block, Slide)]
    return sorted(slides, key=lambda slide: _STORY.index(slide.name))


def visual_of(slide: Slide) -> Visual | None:
    """What stands beside the text."""
    blocks = nested_blocks(slide.blocks, folded=False)
    return slide.visual or next((each for each in blocks if isinstance(each, Chart | Table | Gallery)), None)


def shown_texts(slide: Slide) -> list[str]:
    """What stands on the slide."""
    return [text for text, spoken in _texts(slide) if not spoken]


def speaker_notes(slide: Slide) -> str:
    """What the speaker says: everything that stands on the slide, and what there is no room for."""
    return " ".join(filter(None, [slide.notes, *(text for text, _ in _texts(slide))]))


def _texts(slide: Slide) -> Iterator[tuple[str, bool]]:
    """Each text, and whether it is spoken only."""
    visual = visual_of(slide)
    blocks: list[Block] = list(nested_blocks(slide.blocks, folded=False))
    if slide.visual is not None:
        blocks.append(slide.visual)
    for block in blocks:
        match block:
            case Paragraph():
                yield block.text, block.spoken
            case Finding():
                yield block.text, False
            case Definitions():
                for place_in_list, (term, meaning) in enumerate(block.items):
                    yield f"{term}: {meaning}", place_in_list >= _MOST_DEFINITIONS
            case Table() if block is not visual:
                yield f"{block.caption}: {'; '.join(' '.join(row) for row in block.rows)}.", False
            case Strips() if block is visual:
                yield block.caption, False
            case Gallery() if block is visual:
                rest = len(block.examples) - MOST_EXAMPLES
                yield block.caption + (f" Shown: the first {MOST_EXAMPLES}." if rest > 0 else ""), False


# --- what is drawn ----------------------------------------------------------------------------------


def _add_cover(file: PresentationFile, document: Document) -> None:
    drawn = file.slides.add_slide(theme.cover_layout(file))
    title, subtitle = drawn.placeholders
    boxes = (theme.COVER_TITLE, theme.COVER_SUBTITLE)
    for shape, box, text, sizes in zip(
        (title, subtitle), boxes, (document.title, document.subtitle), _COVER_SIZES, strict=True
    ):
        _write(shape.text_frame, (text,), box, *sizes)
        for paragraph in shape.text_frame.paragraphs:
            paragraph.alignment = PP_ALIGN.LEFT
            paragraph.font.color.rgb = theme.WHITE
    drawn.notes_slide.notes_text_frame.text = (
        f"These slides tell what was learned from {document.subtitle}. All figures come from the same run as "
        "the report beside them, index.html and report.pdf, which hold the details."
    )


def _add_slide(file: PresentationFile, title: str, slide: Slide, pictures: Mapping[str, bytes]) -> None:
    drawn = file.slides.add_slide(theme.text_layout(file))
    heading, text = drawn.placeholders
    _write(heading.text_frame, (slide.title,), theme.TITLE, *_TITLE_SIZES)
    visual = visual_of(slide)
    commands = [block for block in nested_blocks(slide.blocks) if isinstance(block, Commands)]
    text_box, visual_box = _boxes(visual, bool(commands))
    place(text, text_box)
    _write(text.text_frame, shown_texts(slide), text_box, _LARGEST, _SMALLEST)
    for block in commands:
        _add_commands(drawn, block.items, text_box)
    if visual is not None:
        draw_visual(drawn, visual, pictures, visual_box)
    _add_footer(drawn, title)
    drawn.notes_slide.notes_text_frame.text = speaker_notes(slide)


def _boxes(visual: Visual | None, commands: bool) -> tuple[Box, Box]:
    """Where the text and the visual stand: beside each other, a short table below the text."""
    if commands:
        return replace(theme.WHOLE, height=_TEXT_ABOVE_COMMANDS), theme.VISUAL
    if visual is None:
        return theme.WHOLE, theme.VISUAL
    if isinstance(visual, Table) and len(visual.rows) <= _SHORT_TABLE:
        return theme.UPPER, theme.LOWER
    return theme.TEXT, theme.VISUAL


def _write(frame: Drawn, paragraphs: Sequence[str], box: Box, largest: int, smallest: int) -> None:
    """Fill a text box, in the largest type that fits."""
    width, height = theme.in_points(box.width - _INSIDE), theme.in_points(box.height - _INSIDE / 2)
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
