"""export: what exported models must keep; no stage depends on it."""

from pipeline.params.base import NonNegativeInt, PositiveFloat, PositiveInt, ProperShare, Section, Share


class ExportParams(Section):
    """What exported models must keep of the original, and how they are made smaller."""

    max_accuracy_loss: Share
    max_lost_images: NonNegativeInt
    calibration_images: PositiveInt
    sparsity: ProperShare
    pruning_epochs: PositiveInt
    pruning_lr: PositiveFloat
