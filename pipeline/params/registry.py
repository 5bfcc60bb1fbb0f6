"""registry: the gates of promotion; no stage depends on it."""

from typing import Annotated

from pydantic import Field

from pipeline.params.base import PositiveFloat, PositiveInt, ProperShare, Section, Share


class RegistryParams(Section):
    """The registered model and the gates of its promotion."""

    model: Annotated[str, Field(pattern=r"^[^/:@'\"]+$")]
    alpha: ProperShare
    min_improvement: Share
    max_recall_loss: Share
    max_ece: Share
    max_size_mb: PositiveFloat
    max_latency_ms: PositiveFloat
    weak_after: PositiveInt
