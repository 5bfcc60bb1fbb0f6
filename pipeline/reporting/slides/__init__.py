"""The slides: a PowerPoint file with real titles, charts that can be edited, and notes for the speaker."""

from pipeline.reporting.slides.content import build_slides
from pipeline.reporting.slides.rendering import render_slides
from pipeline.reporting.slides.slide import Deck

__all__ = ["Deck", "build_slides", "render_slides"]
