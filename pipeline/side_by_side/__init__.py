"""Two models side by side, in one page."""

from pipeline.side_by_side.content import pair_document
from pipeline.side_by_side.models import ComparedModel, ModelPair

__all__ = ["ComparedModel", "ModelPair", "pair_document"]
