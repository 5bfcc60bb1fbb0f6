"""Figures as functions from values to matplotlib figures; `style` holds what they share."""

from pipeline.reporting.figures.confusion import confusion_matrix_figure
from pipeline.reporting.figures.heatmaps import heatmaps_figure
from pipeline.reporting.figures.style import figure_png, save_figure

__all__ = ["confusion_matrix_figure", "figure_png", "heatmaps_figure", "save_figure"]
