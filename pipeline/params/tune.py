"""tune: a search, its space, and what it is compared with in the end."""

import math
import typing
from collections.abc import Mapping
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
from pipeline.params.base import PositiveFloat, PositiveInt, Section
from pipeline.params.fitting import FittingParams, TrainingConfig
from pipeline.params.mistakes import closest, did_you_mean, in_words
from pipeline.params.train_baseline import TrainBaselineParams
from pipeline.params.train_transfer import TrainTransferParams

Value = float | int | bool | str


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if not isinstance(value, bool | int | float) or not math.isfinite(value):
        raise ValueError(f"expected a number, a name, true or false, found {value!r}")
    return value


class Values(Section):
    """A hyperparameter that takes one of the given values."""

    values: Annotated[
        tuple[Annotated[Value, BeforeValidator(_plain)], ...],
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


TunedCandidate = Literal["baseline", "transfer"]

EPOCHS = "epochs"

_OF_EVERY_TRAINING: dict[str, Any] = {
    EPOCHS: PositiveInt,
    **_accepted_by(TrainingConfig, "lr", "batch_size"),
    **_accepted_by(FittingParams, *FittingParams.model_fields),
    **_accepted_by(AugmentationParams),
}

TUNABLE: dict[TunedCandidate, dict[str, Any]] = {
    "baseline": {
        "width_scale": PositiveFloat,
        "depth": PositiveInt,
        **_OF_EVERY_TRAINING,
        **_accepted_by(TrainBaselineParams, "network", "dropout"),
    },
    "transfer": {
        **_OF_EVERY_TRAINING,
        **_accepted_by(
            TrainTransferParams, "dropout", "head_lr_scale", "fine_tune_lr_scale", "frozen_batch_norm"
        ),
    },
}
"""Hyperparameters that may stand in tune.space and tune.transfer_space, and what each may be.

width_scale multiplies train_baseline.widths, depth is their number; the last is repeated for want of more.
"""


Space = Annotated[dict[str, Search], Field(min_length=1)]


class TuneParams(Section):
    candidate: TunedCandidate
    method: Literal["bayesian", "hyperband", "random"]
    max_trials: PositiveInt
    trial_epochs: PositiveInt
    epochs: PositiveInt
    confirm_seeds: PositiveInt
    space: Space
    transfer_space: Space

    @property
    def searched(self) -> Mapping[str, Values | Range]:
        """The space of the candidate."""
        return self.space if self.candidate == "baseline" else self.transfer_space

    @model_validator(mode="after")
    def _spaces_are_searchable(self) -> Self:
        _check_space("space", self.space, TUNABLE["baseline"])
        _check_space("transfer_space", self.transfer_space, TUNABLE["transfer"])
        if EPOCHS in self.searched and self.method == "hyperband":
            raise ValueError("epochs cannot be searched for with hyperband, which chooses them itself")
        return self


class TuneConfig(TrainingConfig):
    """All that decides a search."""

    train_baseline: TrainBaselineParams
    train_transfer: TrainTransferParams
    tune: TuneParams


def _check_space(key: str, space: Mapping[str, Values | Range], tunable: Mapping[str, Any]) -> None:
    """Every value that a search may try must be one that a training accepts. Raises ValueError."""
    for name, search in space.items():
        if name not in tunable:
            raise ValueError(f"{key}.{name} is not a hyperparameter{did_you_mean(name, tunable)}")
        _check_searched_values(f"{key}.{name}", search, tunable[name])


def _check_searched_values(key: str, search: Values | Range, kind: Any) -> None:
    accepted = TypeAdapter(kind, config=ConfigDict(strict=True))
    if isinstance(search, Range):
        tried: tuple[Any, ...] = (search.min, search.max)
        plain_type = next(iter(typing.get_args(kind)), kind)
        if plain_type is not float:
            # Between two bounds lie fractions, which a count, a name and a switch cannot be.
            raise ValueError(f"{key} takes single values: give {{values: [...]}}")
    else:
        tried = search.values
    for value in tried:
        try:
            accepted.validate_python(value)
        except ValidationError as error:
            raise ValueError(f"{key}: {in_words(dict(error.errors()[0]))}") from None
