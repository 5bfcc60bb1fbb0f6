"""Figures as files that a PDF can hold."""

import io

import matplotlib
from matplotlib.figure import Figure

from pipeline.reporting.house_style import figure_png, in_house_style, settle_layout

_HEAVIEST_DRAWING = 1_000_000
"""Bytes: beyond, a figure holds so many points that its pixels are the lighter and quicker form."""


def figure_file(figure: Figure) -> tuple[bytes, str]:
    """A figure as a drawing that stays sharp at any size, or as pixels where that is lighter.

    Returns:
      The bytes and the ending of the file: "svg" or "png". The same figure gives the same bytes.
    """
    drawing = _figure_svg(figure)
    if len(drawing) > _HEAVIEST_DRAWING:
        return figure_png(figure), "png"
    return drawing, "svg"


@in_house_style
def _figure_svg(figure: Figure) -> bytes:
    settle_layout(figure)
    buffer = io.BytesIO()
    # Without a salt the identifiers inside are random. Text stays text, which can be found and copied.
    with matplotlib.rc_context({"svg.hashsalt": "report", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
