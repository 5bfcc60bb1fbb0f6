"""The report as a PDF, set by typst (https://typst.app/docs), which pip installs; it runs in this process.

The content goes to typst as JSON values, never as markup: whatever a class is called, it is printed
unchanged. Only bundled fonts are used and nothing is fetched, so that every machine makes the same bytes.
The file follows PDF/UA-1 (ISO 14289-1): a screen reader finds headings, tables and texts for pictures.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, assert_never

import numpy as np
import typst

from pipeline.foundation.array_types import UInt8
from pipeline.reporting.document import (
    Block,
    Chart,
    Commands,
    Definitions,
    Details,
    Document,
    Example,
    Facts,
    Finding,
    Gallery,
    Heading,
    Paragraph,
    Row,
    Slide,
    Stack,
    Strips,
    Table,
)
from pipeline.reporting.pdf.drawings import figure_file
from pipeline.reporting.pdf.fonts import breakable, bundled_fonts, printable, unprintable
from pipeline.reporting.pictures import image_png
from pipeline.reporting.wording import percent

_TEMPLATE = Path(__file__).with_name("report.typ")
_APPENDIX_TITLE = "Appendix: tables and further figures"
_NO_TEXTS = ("anchor", "file", "image", "images", "overlay")
_EXAMPLES_ON_PAPER = 12
_TEXT_BESIDE_CHART = 3.4
"""Inches of running text, where a chart beside it is as wide as it was drawn."""

_HIGHEST_BESIDE_TEXT, _SMALLEST = 4.0, 0.78
"""Inches, likewise, and how small higher charts may be made."""

_CHARACTERS_NOTE = (
    "The fonts of this document lack some characters; they are given by their Unicode numbers. "
    "index.html shows them."
)


def render_pdf(document: Document) -> bytes:
    """The document as a PDF file of A4 pages; the same document gives the same bytes.

    Raises typst.TypstError where the template has a defect.
    """
    content = _Content()
    data = content.of_document(document)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, picture in content.files.items():
            (folder / file).write_bytes(picture)
        (folder / "document.json").write_text(json.dumps(data, default=sorted), encoding="utf-8")
        main = folder / "report.typ"
        main.write_bytes(_TEMPLATE.read_bytes())
        return typst.compile(main, root=folder, font_paths=bundled_fonts(), pdf_standards=["ua-1"])


@dataclass
class _Content:
    """Gathers what the template needs: values for JSON, the files of pictures, and the appendix."""

    files: dict[str, bytes] = field(default_factory=dict)
    appendix: list[dict[str, Any]] = field(default_factory=list)

    def of_document(self, document: Document) -> dict[str, Any]:
        sections = [
            {"anchor": section.anchor, "title": section.title, "blocks": self._blocks(section.blocks)}
            for section in document.sections
        ]
        data = {
            "title": document.title,
            "subtitle": document.subtitle,
            "sections": sections,
            "appendix": self.appendix,
            "appendix_title": _APPENDIX_TITLE,
            "note": "",
        }
        if unprintable(json.dumps(data, ensure_ascii=False, default=sorted)):
            data["note"] = _CHARACTERS_NOTE
        return {name: _as_printed(value) for name, value in data.items()}

    def _blocks(self, blocks: Sequence[Block]) -> list[dict[str, Any]]:
        return [{"kind": type(block).__name__.lower(), **self._block(block)} for block in blocks]

    def _block(self, block: Block) -> dict[str, Any]:
        match block:
            case Paragraph() | Finding() | Heading() | Facts() | Definitions() | Commands():
                return asdict(block)
            case Table():
                return {**asdict(block), "numeric": block.numeric}
            case Chart():
                return self._chart(block)
            case Row():
                return {"blocks": self._blocks(block.blocks), "widths": [_width(b) for b in block.blocks]}
            case Stack() | Slide():
                return {"kind": "stack", "blocks": self._blocks(block.blocks)}
            case Strips():
                return self._strips(block)
            case Gallery():
                return self._gallery(block)
            case Details():
                return self._details(block)
        assert_never(block)

    def _chart(self, chart: Chart) -> dict[str, Any]:
        picture, ending = figure_file(chart.figure)
        width, height = chart.inches
        file = self._file(f"{chart.name}.{ending}", picture)
        return {"file": file, "width": width, "height": height, "alt": chart.alt, "caption": chart.caption}

    def _strips(self, block: Strips) -> dict[str, Any]:
        return {
            "caption": block.caption,
            "strips": [
                {
                    "label": strip.label,
                    "note": strip.note,
                    "alt": f"Image of {strip.label}",
                    "images": [self._image(image) for image in strip.images],
                }
                for strip in block.strips
            ],
        }

    def _gallery(self, gallery: Gallery) -> dict[str, Any]:
        shown = gallery.examples[:_EXAMPLES_ON_PAPER]
        caption = gallery.caption
        if len(shown) < len(gallery.examples):
            caption = (
                f"{caption} These are the first {len(shown)} of {len(gallery.examples)}; index.html has all."
            )
        return {"caption": caption, "examples": [self._example(example) for example in shown]}

    def _example(self, example: Example) -> dict[str, Any]:
        overlay = example.overlay
        return {
            "name": example.name,
            "image": self._image(example.image),
            "alt": f"Image {example.name}",
            "overlay": None if overlay is None else self._image(overlay),
            "overlay_alt": f"Heatmap over image {example.name}",
            "right": example.right,
            "predicted": example.predicted,
            "actual": example.actual,
            "probabilities": [
                {"name": name, "share": share, "percent": percent(share), "actual": name == example.actual}
                for name, share in example.shown_probabilities
            ],
        }

    def _details(self, details: Details) -> dict[str, Any]:
        """What is folded away on a screen goes to the appendix; a reference to it stays."""
        # Reserved before the blocks inside are added, as they may hold details as well.
        entry: dict[str, Any] = {"anchor": f"appendix-{len(self.appendix)}", "summary": details.summary}
        self.appendix.append(entry)
        entry["blocks"] = self._blocks(details.blocks)
        return {"kind": "reference", "anchor": entry["anchor"], "summary": details.summary}

    def _image(self, image: UInt8[np.ndarray, "h w c"]) -> str:
        return self._file(f"image-{len(self.files)}.png", image_png(image))

    def _file(self, name: str, picture: bytes) -> str:
        self.files[name] = picture
        return name


def _width(block: Block) -> float:
    """How much of a row of two a block takes, relative to the other; tall charts are made smaller there."""
    if not isinstance(block, Chart):
        return _TEXT_BESIDE_CHART
    width, height = block.inches
    return width * min(1.0, max(_SMALLEST, _HIGHEST_BESIDE_TEXT / height))


def _as_printed(value: Any) -> Any:
    """The value with every text in it as the bundled fonts and the width of the paper allow."""
    if isinstance(value, str):
        return breakable(printable(value))
    if isinstance(value, dict):
        return {name: item if name in _NO_TEXTS else _as_printed(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_printed(item) for item in value]
    return value
