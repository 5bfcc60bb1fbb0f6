"""The whole report: sections in the order in which they are read."""

from pipeline.reporting.content.comparison import comparison_section
from pipeline.reporting.content.data import data_section, samples_chart
from pipeline.reporting.content.explanations import explanations_section
from pipeline.reporting.content.glossary import glossary_section
from pipeline.reporting.content.mistakes import mistakes_charts, mistakes_section
from pipeline.reporting.content.networks import networks_section
from pipeline.reporting.content.outlook import outlook_section
from pipeline.reporting.content.provenance import provenance_section
from pipeline.reporting.content.settings import ReportSettings
from pipeline.reporting.content.summary import summary_section
from pipeline.reporting.content.training import training_section
from pipeline.reporting.content.tuning import tuning_section
from pipeline.reporting.document import Document
from pipeline.reporting.results import Results
from pipeline.reporting.wording import counted

__all__ = ["ReportSettings", "build_document"]


def build_document(results: Results, settings: ReportSettings) -> Document:
    """Everything that the report says about `results`."""
    sections = [
        summary_section(results, settings),
        data_section(results, settings),
        networks_section(results),
        training_section(results),
        *([tuning_section(results)] if results.trials else []),
        comparison_section(results, settings),
        mistakes_section(results, settings),
        explanations_section(results),
        outlook_section(results, settings),
        provenance_section(results, settings),
        glossary_section(),
    ]
    return Document(
        title=settings.report.title,
        subtitle=(
            f"{counted(results.source['images'], 'image')}, "
            f"{counted(len(results.class_names), 'class', 'classes')}, "
            f"{counted(len(results.candidates), 'network')}"
        ),
        sections=tuple(sections),
        extra_charts=(samples_chart(results, settings), *mistakes_charts(results, settings)),
    )
