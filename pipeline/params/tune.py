"""tune: a search and its space."""

import math
import typing
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from pipeline.params.augmentation import AugmentationParams
from pipeline.params.base import PositiveFloat, PositiveInt, Section, Seed
from pipeline.params.fitting import Precision, TrainingConfig
from pipeline.params.mistakes import closest, did_you_mean, in_words
from pipeline.params.train_baseline import TrainBaselineParams


def _number_or_switch(value: Any) -> Any:
    if not isinstance(value, bool | int | float) or not math.isfinite(value):
        raise ValueError(f"expected a number, true or false, found {value!r}")
    return value


class Values(Section):
    """A hyperparameter that takes one of the given values."""

    values: Annotated[
        tuple[Annotated[float | int | bool, BeforeValidator(_number_or_switch)], ...],
        Field(min_length=1, strict=False),
    ]


class Range(Section):
    """A hyperparameter anywhere between two bounds."""

    min: float
    max: float
    sampling: Literal["linear", "log"]

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.min < self.max:
            raise ValueError(f"min {self.min} is not below max {self.max}")
        if self.sampling == "log" and self.min <= 0:
            raise ValueError(f"logarithmic sampling needs min above 0, not {self.min}")
        return self


def _kind_of_search(value: Any) -> str | None:
    """Whether a part of tune.space means Values or Range, so that only that one's errors are shown."""
    if isinstance(value, Values | Range):
        return type(value).__name__
    if not isinstance(value, dict):
        return None
    if closest("values", value):
        return "Values"
    return "Range" if any(closest(key, value) for key in Range.model_fields) else None


Search = Annotated[
    Annotated[Values, Tag("Values")] | Annotated[Range, Tag("Range")],
    Discriminator(
        _kind_of_search,
        custom_error_type="search",
        custom_error_message="give {values: [...]} or {min: ..., max: ..., sampling: linear | log}",
    ),
]


def _accepted_by(section: type[Section], *names: str) -> dict[str, Any]:
    fields = section.model_fields
    return {name: fields[name].rebuild_annotation() for name in names or fields}


TUNABLE: dict[str, Any] = {
    "width_scale": PositiveFloat,
    **_accepted_by(TrainingConfig, "lr", "batch_size"),
    **_accepted_by(TrainBaselineParams, "dropout", "weight_decay", "label_smoothing", "warmup_share"),
    **_accepted_by(AugmentationParams),
}
"""Hyperparameters that may stand in tune.space and what each may be; width_scale multiplies
train_baseline.widths."""


class TuneParams(Section):
    method: Literal["bayesian", "hyperband", "random"]
    max_trials: PositiveInt
    trial_epochs: PositiveInt
    epochs: PositiveInt
    space: dict[str, Search]

    @model_validator(mode="after")
    def _space_is_searchable(self) -> Self:
        for name, search in self.space.items():
            if name not in TUNABLE:
                raise ValueError(f"space.{name} is not a hyperparameter{did_you_mean(name, TUNABLE)}")
            _check_searched_values(name, search)
        for name in ("lr", "batch_size"):
            if name not in self.space:
                raise ValueError(f"space.{name} is missing: tune does not use the top-level {name}")
        return self


class TuneConfig(Section):
    """All that decides a search; lr and batch_size come from tune.space."""

    seed: Seed
    threads: PositiveInt
    precision: Precision
    augmentation: AugmentationParams
    train_baseline: TrainBaselineParams
    tune: TuneParams


def _check_searched_values(name: str, search: Values | Range) -> None:
    """Every value that a search may try must be one that a training accepts. Raises ValueError."""
    accepted = TypeAdapter(TUNABLE[name], config=ConfigDict(strict=True))
    if isinstance(search, Range):
        tried: tuple[Any, ...] = (search.min, search.max)
        plain_type = next(iter(typing.get_args(TUNABLE[name])), TUNABLE[name])
        if plain_type is not float:
            # Between two bounds lie fractions, which a count and a switch cannot be.
            raise ValueError(f"space.{name} takes single values: give {{values: [...]}}")
    else:
        tried = search.values
    for value in tried:
        try:
            accepted.validate_python(value)
        except ValidationError as error:
            raise ValueError(f"space.{name}: {in_words(dict(error.errors()[0]))}") from None
