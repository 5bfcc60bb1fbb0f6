"""Write the report: what all stages made -> metrics/report (a page, a PDF, slides and their figures)."""

from pipeline.execution.stage import run_stage
from pipeline.foundation.tracker import Tracker
from pipeline.foundation.workspace import Workspace
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.base import NonNegativeInt, Section
from pipeline.params.evaluate import EvaluateParams
from pipeline.params.report import ReportParams
from pipeline.reporting.content import ReportSettings, build_document
from pipeline.reporting.results import Results
from pipeline.reporting.slides import build_slides
from pipeline.reporting.writing import draw_figures, write_report


class Config(Section):
    """What dvc.yaml lists under the stage's params."""

    seed: NonNegativeInt
    augmentation: AugmentationParams
    evaluate: EvaluateParams
    report: ReportParams


def run(workspace: Workspace, config: Config, tracker: Tracker) -> None:
    results = Results.load(workspace)
    settings = ReportSettings(config.seed, config.report, config.augmentation, config.evaluate)
    document = build_document(results, settings)
    pictures = draw_figures(document)
    print(f"  {len(pictures)} figures", flush=True)
    deck = build_slides(results, settings, document, pictures)
    write_report(document, deck, pictures, workspace.report, _say)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    run_stage("report", run, Config)
