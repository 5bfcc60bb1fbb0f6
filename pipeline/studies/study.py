"""What a study compares, as its file says it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from pipeline.foundation.errors import PipelineError
from pipeline.params.base import PositiveFloat, Section, Seed
from pipeline.params.mistakes import did_you_mean
from pipeline.params.whole import load_yaml, parse_section

_SUFFIX = ".yaml"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,23}")
_SEED = "seed"
_SPLITTING = ("split.seed", "split.test_share", "split.validation_share")


def _one_value(value: Any) -> Any:
    items = value if isinstance(value, list) else [value]
    if not all(item is None or isinstance(item, bool | int | float | str) for item in items):
        raise ValueError(f"expected one value or a list, found {value!r}: name what is below it with dots")
    return value


Values = dict[str, Annotated[Any, AfterValidator(_one_value)]]
"""Values by key of params.yaml with its section: {"train_baseline.epochs": 15}."""


class Study(Section):
    """Settings times seeds.

    Attributes:
      title: of the page.
      question: what it shall answer, in one sentence.
      candidate: what is trained.
      base: what all settings share, put over params.yaml.
      reference: the setting that all others are compared with.
      settings: what each of them puts over the base; maybe nothing.
      seeds: the same for every setting.
      budget_minutes: of one call, after which it begins no further training; None for no end.
    """

    title: Annotated[str, Field(min_length=1)]
    question: Annotated[str, Field(min_length=1)]
    candidate: Literal["baseline", "transfer", "tuned"]
    base: Values
    reference: str
    settings: dict[str, Values]
    seeds: Annotated[tuple[Seed, ...], Field(strict=False)]
    budget_minutes: PositiveFloat | None

    @field_validator("settings")
    @classmethod
    def _names_fit_into_tables(cls, settings: dict[str, Any]) -> dict[str, Any]:
        if len(settings) < 2:
            raise ValueError("expected at least two settings: one of them is the reference")
        for name in settings:
            if not _NAME.fullmatch(name):
                raise ValueError(f"'{name}' is no name: expected at most 24 letters, digits and any of _.+-")
        return settings

    @field_validator("settings")
    @classmethod
    def _all_validate_on_the_same_images(cls, settings: dict[str, Any]) -> dict[str, Any]:
        for name, values in settings.items():
            for key in values:
                if key in _SPLITTING or key.partition(".")[0] == "fetch":
                    raise ValueError(
                        f"{name} sets {key}, which decides what images validate; "
                        "it belongs into base, where it is the same for all settings"
                    )
        return settings

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < max(2, len(seeds)):
            raise ValueError(f"expected two seeds or more, all different, found {list(seeds)}")
        return seeds

    @model_validator(mode="after")
    def _reference_is_a_setting(self) -> Self:
        if self.reference not in self.settings:
            hint = did_you_mean(self.reference, self.settings)
            raise ValueError(f"reference '{self.reference}' is none of the settings{hint}")
        return self

    @model_validator(mode="after")
    def _seed_is_no_setting(self) -> Self:
        if any(_SEED in values for values in (self.base, *self.settings.values())):
            raise ValueError(f"{_SEED} is set by seeds, not by base or a setting")
        return self

    def values(self, setting: str, seed: int, more: Mapping[str, Any]) -> dict[str, Any]:
        """What is put over params.yaml for a setting under a seed; `more` goes over the base."""
        return {**self.base, **more, **self.settings[setting], _SEED: seed}


def load_study(path: Path) -> Study:
    """Read and check a study's file, but for what params.yaml says to its values.

    Raises:
      PipelineError: one line per problem, naming the key, what was expected and found.
    """
    if path.suffix != _SUFFIX:  # results get a folder of the name that remains
        raise PipelineError(
            "That is no study.", expected=f"a file whose name ends in {_SUFFIX}", found=str(path)
        )
    if not path.is_file():
        raise PipelineError(f"{path} is missing.", remedy="docs/studies.md says how to write one")
    return parse_section(Study, load_yaml(path), str(path), "docs/studies.md")
