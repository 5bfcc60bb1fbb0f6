"""The whole of params.yaml, read and checked.

Nothing in it has a default: a default in Python would be a parameter that DVC cannot see."""

import json
import re
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import PARAMS_FILE
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

_PLAIN_WORD = re.compile(r"(?!(?:null|true|false|nan|inf|yes|no|on|off)$)[a-z][a-z_0-9]*")
"""What a command line shows better without quotes, and neither Hydra nor YAML takes for anything but text."""


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
    def _images_can_be_reduced(self) -> Self:
        side = self.preprocess.image_size
        sizes = {
            "train_baseline": self.train_baseline.input_size,
            "train_transfer": self.train_transfer.input_size,
        }
        for name, size in sizes.items():
            if size is not None and size < side and side % size:
                raise ValueError(
                    f"{name}.input_size {size} does not divide preprocess.image_size {side}; choose one that "
                    "does, or one above it"
                )
        return self

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
    values = _load_values(path)
    for override in overrides:
        key, equals, text = override.removeprefix("+").partition("=")  # DVC wants a plus before new keys
        if not equals or not _put(values, key, _parsed(text)):
            raise PipelineError(
                f"'{override}' is not a setting of params.yaml.",
                expected="key=value, the key with its section, for example train_baseline.epochs=5",
            )
    return parse_params(values)


def load_params_with(path: Path, settings: Mapping[str, Any], source: str) -> Params:
    """Read and check the whole file with other values for some of its keys.

    Args:
      path: params.yaml.
      settings: by key with section, as YAML has them.
      source: where they come from; begins the message about one that does not fit.

    Raises:
      PipelineError: as `load_params`.
    """
    values = _load_values(path)
    for key, value in settings.items():
        if not _put(values, key, value):
            raise PipelineError(
                f"{source} does not fit:\n  - {key}: unknown key",
                expected="the key of one value with its section, for example train_baseline.epochs",
            )
    return parse_params(values, source)


def _load_values(path: Path) -> Any:
    if not path.exists():
        raise PipelineError(
            f"{path} is missing.", remedy="run the command in the project's folder, beside params.yaml"
        )
    return load_yaml(path)


def load_yaml(path: Path) -> Any:
    """What a file holds, unchecked. Raises PipelineError where it is not valid YAML."""
    try:
        # ruamel reads YAML 1.2, in which 1e-5 is a number; PyYAML would return the text '1e-5'.
        return YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path.name} is not valid YAML.", found=str(error)) from error


def quoted(text: str) -> str:
    """A text as `dvc exp run -S key=...` takes it, whatever is in it.

    Between quotes, Hydra takes all as it is but quotes and backslashes before them; OmegaConf reads `${` as a
    reference unless a backslash stands before it.
    """
    no_reference = re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", text)
    escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + (r"\'" if found[2] else ""), no_reference)
    return f"'{escaped}'"


def as_override_value(value: Any) -> str:
    """What stands behind the equals sign for `dvc exp run -S`.

    `value` is what YAML makes of a number, a truth value, nothing, a text, or a list of these.
    """
    if isinstance(value, str):
        return value if _PLAIN_WORD.fullmatch(value) else quoted(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_override_value, value))}]"
    return json.dumps(value)


def _parsed(text: str) -> Any:
    """The value that YAML makes of a text; the text itself where that is none."""
    try:
        return YAML(typ="safe").load(text)
    except YAMLError:
        return text


def _put(values: Any, key: str, value: Any) -> bool:
    """Set one value in nested dictionaries; returns whether there is a place for it.

    A key that is not there is made, and refused later.
    """
    *sections, last = key.split(".")
    for section in sections:
        values = values.get(section) if isinstance(values, dict) else None
    if not isinstance(values, dict):
        return False
    values[last] = value
    return True


def parse_params(values: Any, source: str = PARAMS_FILE) -> Params:
    """Check values as they come from YAML; `source` begins the message. Raises PipelineError."""
    return parse_section(Params, values, source, "params.yaml in the repository")


View = typing.TypeVar("View", bound=Section)


def parse_section(section: type[View], values: Any, source: str, example: str) -> View:
    """Check values as they come from YAML.

    Args:
      section: what they should be.
      values: unchecked.
      source: where they stand; begins the message.
      example: where a person sees which keys there must be.

    Raises:
      PipelineError: one line per problem, naming the key, what was expected and found.
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        problems = _without_repetitions([dict(problem) for problem in error.errors()], section)
        lines = "\n".join(f"  - {_explain(problem, section, source, example)}" for problem in problems)
        raise PipelineError(f"{source} does not fit:\n{lines}") from None


def select(params: Params, view: type[View]) -> View:
    """The part of params.yaml that a stage declares, so that it cannot read what DVC does not watch."""
    return typing.cast(
        View, view.model_construct(**{name: getattr(params, name) for name in view.model_fields})
    )


def _without_repetitions(problems: list[Problem], whole: type[Section]) -> list[Problem]:
    """One line per mistake.

    A misspelt key is both unknown and missing under its right name; a list with a wrong item is
    also reported as too short.
    """
    misspelt = set()
    for problem in problems:
        if problem["type"] == "extra_forbidden":
            *section, name = _location(problem)
            misspelt.add((*section, closest(name, _known_keys(problem, whole))))
    return [
        problem
        for problem in problems
        if not (problem["type"] == "missing" and tuple(_location(problem)) in misspelt)
        and not (problem["type"] == "too_short" and problem["input"])
    ]


def _explain(problem: Problem, whole: type[Section], source: str, example: str) -> str:
    location = _location(problem)
    key = ".".join(location) or source
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key{did_you_mean(location[-1], _known_keys(problem, whole))}"
    if problem["type"] == "missing":
        return f"{key}: missing; every key must be there (see {example})"
    if problem["type"] == "value_error":
        return f"{key}: {problem['ctx']['error']}"
    return f"{key}: {in_words(problem)}"


def _location(problem: Problem) -> list[str]:
    return [str(part) for part in problem["loc"] if part not in ("Values", "Range")]


def _known_keys(problem: Problem, whole: type[Section]) -> list[str]:
    """The keys that the section of an unknown key does know."""
    section: type[Section] | None = whole
    searches: dict[str, type[Section]] = {"Values": Values, "Range": Range}
    for part in map(str, problem["loc"][:-1]):
        section = searches.get(part) or _section_below(section, part)
    return list(section.model_fields) if section is not None else []


def _section_below(section: type[Section] | None, key: str) -> type[Section] | None:
    field = section.model_fields.get(key) if section is not None else None
    annotation = field.annotation if field is not None else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None
