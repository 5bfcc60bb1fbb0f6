"""Two models side by side, in one page."""

from pipeline.reporting.versus.content import build_versus
from pipeline.reporting.versus.side import Side, Versus

__all__ = ["Side", "Versus", "build_versus"]
