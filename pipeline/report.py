"""Write the report: what all stages made -> metrics/report (a page, a PDF, slides and their figures)."""

import io
import zipfile
from collections.abc import Mapping

from pipeline.execution.stage import run_stage
from pipeline.foundation.files import write_bytes
from pipeline.foundation.tracker import Tracker
from pipeline.foundation.workspace import Workspace
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.base import Section, Seed
from pipeline.params.evaluate import EvaluateParams
from pipeline.params.report import ReportParams
from pipeline.reporting.document import Document, ReportSection
from pipeline.reporting.house_style import figure_png
from pipeline.reporting.page import render_page
from pipeline.reporting.pdf import render_pdf
from pipeline.reporting.results import ReportSettings, RunResults
from pipeline.reporting.slides import render_slides
from pipeline.reporting.topics.comparison.section import comparison
from pipeline.reporting.topics.data.section import data, samples_chart
from pipeline.reporting.topics.explanations.section import explanations
from pipeline.reporting.topics.glossary import glossary
from pipeline.reporting.topics.mistakes.section import mistakes, mistakes_charts
from pipeline.reporting.topics.networks.section import networks
from pipeline.reporting.topics.outlook import outlook
from pipeline.reporting.topics.provenance import provenance
from pipeline.reporting.topics.summary import summary
from pipeline.reporting.topics.training.section import training
from pipeline.reporting.topics.tuning.section import tuning
from pipeline.reporting.wording import counted

SECTIONS = (
    ("summary", "In short", summary),
    ("data", "The images", data),
    ("networks", "The networks", networks),
    ("training", "How they learned", training),
    ("tuning", "The search for a better setting", tuning),
    ("comparison", "The models compared", comparison),
    ("mistakes", "Right and wrong answers", mistakes),
    ("looks", "What the networks look at", explanations),
    ("outlook", "What to make of it", outlook),
    ("provenance", "Params and versions", provenance),
    ("terms", "Terms", glossary),
)
"""Anchor, title and content of each section, in the order in which they are read; empty ones are left out."""


class Config(Section):
    """What dvc.yaml lists under the stage's params."""

    seed: Seed
    augmentation: AugmentationParams
    evaluate: EvaluateParams
    report: ReportParams


def run(workspace: Workspace, config: Config, tracker: Tracker) -> None:
    results = RunResults.load(workspace)
    settings = ReportSettings(config.seed, config.report, config.augmentation, config.evaluate)
    document = build_document(results, settings)
    pictures = {chart.name: figure_png(chart.figure) for chart in document.charts()}
    print(f"  {len(pictures)} figures", flush=True)
    paper, slides = workspace.report_paper, workspace.report_slides
    page = render_page(document, pictures, {"on paper": paper.name, "to present": slides.name})
    forms = {
        workspace.report_page: page.encode(),
        paper: render_pdf(document),
        slides: render_slides(document, pictures),
        workspace.report_figures: _zipped({f"{name}.png": picture for name, picture in pictures.items()}),
    }
    for path, content in forms.items():
        write_bytes(path, content)
        print(f"  {path.name}: {len(content) / 1e6:.1f} MB", flush=True)


def build_document(results: RunResults, settings: ReportSettings) -> Document:
    """Everything that the report says about `results`."""
    sections = (
        ReportSection(anchor, title, tuple(content(results, settings))) for anchor, title, content in SECTIONS
    )
    images = counted(results.source.images, "image")
    classes = counted(len(results.class_names), "class", "classes")
    return Document(
        title=settings.report.title,
        subtitle=f"{images}, {classes}, {counted(len(results.candidates), 'network')}",
        sections=tuple(section for section in sections if section.blocks),
        extra_charts=(samples_chart(results, settings), *mistakes_charts(results, settings)),
    )


def _zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip whose bytes depend on nothing but the files; they are not compressed, as pictures are already."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # dated 1980
    return buffer.getvalue()


if __name__ == "__main__":
    run_stage("report", run, Config)
