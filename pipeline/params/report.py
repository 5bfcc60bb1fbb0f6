"""report: what the report shows."""

from typing import Annotated

from pydantic import Field

from pipeline.params.base import PositiveInt, Section


class ReportParams(Section):
    title: Annotated[str, Field(min_length=1)]
    examples_per_class: PositiveInt
    mistakes: PositiveInt
