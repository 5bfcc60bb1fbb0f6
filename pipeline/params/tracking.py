"""tracking: where runs are recorded; no stage depends on it."""

from typing import Annotated

from pydantic import Field

from pipeline.params.base import Section


class TrackingParams(Section):
    experiment: Annotated[str, Field(min_length=1)]
