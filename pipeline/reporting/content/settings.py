"""What of params.yaml the report depends on."""

from dataclasses import dataclass

from pipeline.params.augmentation import AugmentationParams
from pipeline.params.evaluate import EvaluateParams
from pipeline.params.report import ReportParams


@dataclass(frozen=True)
class ReportSettings:
    """The params sections of the report; `seed` decides which images are shown."""

    seed: int
    report: ReportParams
    augmentation: AugmentationParams
    evaluate: EvaluateParams
