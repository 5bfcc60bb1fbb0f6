"""The slides: a PowerPoint file with real titles, charts that can be edited, and notes for the speaker."""

from pipeline.reporting.slides.rendering import render_slides

__all__ = ["render_slides"]
