"""The report on paper: a PDF file from the same content as the page."""

from pipeline.reporting.pdf.rendering import render_pdf

__all__ = ["render_pdf"]
