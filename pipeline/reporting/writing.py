"""The report as files: index.html, and every figure beside it."""

from pathlib import Path

from pipeline.foundation.files import atomic_folder
from pipeline.reporting.document import Document
from pipeline.reporting.figures import figure_png
from pipeline.reporting.page import render_page


def write_report(document: Document, folder: Path) -> None:
    """Write index.html and figures/<name>.png; the folder appears whole or stays as it was."""
    pictures = {chart.name: figure_png(chart.figure) for chart in document.charts()}
    with atomic_folder(folder) as temporary:
        (temporary / "figures").mkdir()
        for name, png in pictures.items():
            (temporary / "figures" / f"{name}.png").write_bytes(png)
        page = render_page(document, pictures)
        (temporary / "index.html").write_text(page, encoding="utf-8", newline="\n")
