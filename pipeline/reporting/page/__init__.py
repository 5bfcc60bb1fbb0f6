"""The report as one HTML page that needs nothing else: styles and script inline, pictures as data URIs."""

from pipeline.reporting.page.rendering import render_page

__all__ = ["render_page"]
