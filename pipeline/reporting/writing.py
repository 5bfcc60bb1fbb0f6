"""The report as files: the page, the same on paper, slides, and every figure beside them."""

from collections.abc import Callable
from pathlib import Path

from pipeline.foundation.files import atomic_folder
from pipeline.reporting.document import Document
from pipeline.reporting.figures import figure_png
from pipeline.reporting.page import render_page
from pipeline.reporting.pdf import render_pdf
from pipeline.reporting.slides import Deck, render_slides

PAGE, PAPER, SLIDES = "index.html", "report.pdf", "slides.pptx"

Say = Callable[[str], None]


def draw_figures(document: Document) -> dict[str, bytes]:
    """PNG bytes of every chart by its name."""
    return {chart.name: figure_png(chart.figure) for chart in document.charts()}


def write_report(document: Document, deck: Deck, pictures: dict[str, bytes], folder: Path, say: Say) -> None:
    """Write index.html, report.pdf, slides.pptx and figures/<name>.png.

    The folder appears whole or stays as it was.

    Args:
      pictures: what `draw_figures` made of the document.
      say: is told, line by line, what has been written.
    """
    with atomic_folder(folder) as temporary:
        (temporary / "figures").mkdir()
        for name, png in pictures.items():
            (temporary / "figures" / f"{name}.png").write_bytes(png)
        page = render_page(document, pictures, {"on paper": PAPER, "to present": SLIDES})
        (temporary / PAGE).write_text(page, encoding="utf-8", newline="\n")
        say(f"  {PAGE}: {_size(temporary / PAGE)}")
        (temporary / PAPER).write_bytes(render_pdf(document))
        say(f"  {PAPER}: {_size(temporary / PAPER)}")
        (temporary / SLIDES).write_bytes(render_slides(deck))
        say(f"  {SLIDES}: {_size(temporary / SLIDES)}")


def _size(file: Path) -> str:
    return f"{file.stat().st_size / 1e6:.1f} MB"
