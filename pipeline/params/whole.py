"""The whole of params.yaml, read and checked.

Nothing in it has a default: a default in Python would be a parameter that DVC cannot see."""

import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.foundation.errors import PipelineError
from pipeline.params.augmentation import AugmentationParams
from pipeline.params.base import PositiveFloat, PositiveInt, Section, Seed
from pipeline.params.evaluate import EvaluateParams
from pipeline.params.export import ExportParams
from pipeline.params.fetch import FetchParams
from pipeline.params.fitting import Precision
from pipeline.params.mistakes import Problem, closest, did_you_mean, in_words
from pipeline.params.preprocess import PreprocessParams
from pipeline.params.registry import RegistryParams
from pipeline.params.report import ReportParams
from pipeline.params.split import SplitParams
from pipeline.params.tracking import TrackingParams
from pipeline.params.train_baseline import TrainBaselineParams
from pipeline.params.train_transfer import TrainTransferParams
from pipeline.params.tune import Range, TuneParams, Values


class Params(Section):
    """The whole of params.yaml."""

    seed: Seed
    threads: PositiveInt
    precision: Precision
    lr: PositiveFloat
    batch_size: PositiveInt
    augmentation: AugmentationParams
    fetch: FetchParams
    split: SplitParams
    preprocess: PreprocessParams
    train_baseline: TrainBaselineParams
    train_transfer: TrainTransferParams
    tune: TuneParams
    evaluate: EvaluateParams
    report: ReportParams
    tracking: TrackingParams
    registry: RegistryParams
    export: ExportParams

    @model_validator(mode="after")
    def _backbone_has_not_seen_the_data(self) -> Self:
        if self.fetch.dataset == "cifar100" and self.train_transfer.backbone == "bundled":
            raise ValueError(
                "train_transfer.backbone 'bundled' was pretrained on CIFAR-100 and has seen these images; "
                "choose another, for example -S train_transfer.backbone=MobileNetV2"
            )
        return self


def load_params(path: Path, overrides: Sequence[str] = ()) -> Params:
    """Read and check the whole file.

    Args:
      path: params.yaml.
      overrides: `key=value` settings as `dvc exp run -S` takes them, put over the file's values.

    Raises:
      PipelineError: one line per problem, naming the key, what was expected and found.
    """
    if not path.exists():
        raise PipelineError(
            f"{path} is missing.", remedy="run the command in the project's folder, beside params.yaml"
        )
    try:
        # ruamel reads YAML 1.2, in which 1e-5 is a number; PyYAML would return the text '1e-5'.
        values = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path.name} is not valid YAML.", found=str(error)) from error
    for override in overrides:
        _put(values, override)
    return parse_params(values)


def quoted(text: str) -> str:
    """A text as `dvc exp run -S key=...` takes it, whatever is in it.

    Between quotes, Hydra takes all as it is but quotes and backslashes before them; OmegaConf reads `${` as a
    reference unless a backslash stands before it.
    """
    no_reference = re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", text)
    escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + (r"\'" if found[2] else ""), no_reference)
    return f"'{escaped}'"


def _put(values: Any, override: str) -> None:
    """Set one `a.b=value` in nested dictionaries; a key that is not there is made, and refused later."""
    key, equals, text = override.removeprefix("+").partition("=")  # DVC wants a plus before new keys
    try:
        value = YAML(typ="safe").load(text)
    except YAMLError:
        value = text
    *sections, last = key.split(".")
    for section in sections:
        values = values.get(section) if isinstance(values, dict) else None
    if not equals or not isinstance(values, dict):
        raise PipelineError(
            f"'{override}' is not a setting of params.yaml.",
            expected="key=value, the key with its section, for example train_baseline.epochs=5",
        )
    values[last] = value


def parse_params(values: Any) -> Params:
    """Check values as they come from YAML. Raises PipelineError."""
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        problems = _without_repetitions([dict(problem) for problem in error.errors()])
        lines = "\n".join(f"  - {_explain(problem)}" for problem in problems)
        raise PipelineError(f"params.yaml does not fit:\n{lines}") from None


View = typing.TypeVar("View", bound=Section)


def select(params: Params, view: type[View]) -> View:
    """The part of params.yaml that a stage declares, so that it cannot read what DVC does not watch."""
    return typing.cast(
        View, view.model_construct(**{name: getattr(params, name) for name in view.model_fields})
    )


def _without_repetitions(problems: list[Problem]) -> list[Problem]:
    """One line per mistake.

    A misspelt key is both unknown and missing under its right name; a list with a wrong item is
    also reported as too short.
    """
    misspelt = set()
    for problem in problems:
        if problem["type"] == "extra_forbidden":
            *section, name = _location(problem)
            misspelt.add((*section, closest(name, _known_keys(problem))))
    return [
        problem
        for problem in problems
        if not (problem["type"] == "missing" and tuple(_location(problem)) in misspelt)
        and not (problem["type"] == "too_short" and problem["input"])
    ]


def _explain(problem: Problem) -> str:
    location = _location(problem)
    key = ".".join(location) or "params.yaml"
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key{did_you_mean(location[-1], _known_keys(problem))}"
    if problem["type"] == "missing":
        return f"{key}: missing; every key must be there (see params.yaml in the repository)"
    if problem["type"] == "value_error":
        return f"{key}: {problem['ctx']['error']}"
    return f"{key}: {in_words(problem)}"


def _location(problem: Problem) -> list[str]:
    return [str(part) for part in problem["loc"] if part not in ("Values", "Range")]


def _known_keys(problem: Problem) -> list[str]:
    """The keys that the section of an unknown key does know."""
    section: type[Section] | None = Params
    searches: dict[str, type[Section]] = {"Values": Values, "Range": Range}
    for part in map(str, problem["loc"][:-1]):
        section = searches.get(part) or _section_below(section, part)
    return list(section.model_fields) if section is not None else []


def _section_below(section: type[Section] | None, key: str) -> type[Section] | None:
    field = section.model_fields.get(key) if section is not None else None
    annotation = field.annotation if field is not None else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None
