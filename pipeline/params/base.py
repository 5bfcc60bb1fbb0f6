"""What every section of params.yaml is made of: immutable values without defaults."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]


ProperShare = Annotated[float, Field(gt=0.0, lt=1.0)]


PositiveInt = Annotated[int, Field(ge=1)]


NonNegativeInt = Annotated[int, Field(ge=0)]


Seed = Annotated[int, Field(ge=0, lt=2**31)]  # what every library's generators take


PositiveFloat = Annotated[float, Field(gt=0.0)]


NonNegativeFloat = Annotated[float, Field(ge=0.0)]


ShareBelowOne = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """A part of params.yaml: immutable, every key required, no key beside those named."""

    # Numbers must be numbers: the text "1e-4" is refused, not converted behind the reader's back.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested params as dotted names: {"a": {"b": 1}} -> ("a.b", 1)."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
