"""What the report says, section by section, whatever it is printed on."""

from pipeline.reporting.content.report import ReportSettings, build_document

__all__ = ["ReportSettings", "build_document"]
