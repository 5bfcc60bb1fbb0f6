"""Two models side by side, in one page."""

from pipeline.side_by_side.content import build_versus
from pipeline.side_by_side.side import Side, Versus

__all__ = ["Side", "Versus", "build_versus"]
