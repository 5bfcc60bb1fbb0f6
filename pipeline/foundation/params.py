"""params.yaml as typed, frozen values.

Nothing here has a default: a default in Python would be a parameter that DVC cannot see.
"""

import difflib
import math
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from ruamel.yaml import YAML, YAMLError

from pipeline.foundation.errors import PipelineError

Share = Annotated[float, Field(ge=0.0, le=1.0)]
ProperShare = Annotated[float, Field(gt=0.0, lt=1.0)]
PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]  # what every library's generators take
PositiveFloat = Annotated[float, Field(gt=0.0)]
NonNegativeFloat = Annotated[float, Field(ge=0.0)]
DropoutRate = Annotated[float, Field(ge=0.0, lt=1.0)]

Precision = Literal["float32", "mixed_bfloat16"]
OptimizerName = Literal["sgd", "adam", "adamw"]
ScheduleName = Literal["constant", "warmup", "cosine", "one_cycle"]
ClassWeights = Literal["none", "balanced"]
HeatmapMethod = Literal["hires_cam", "grad_cam"]


class Section(BaseModel):
    """A part of params.yaml: immutable, every key required, no key beside those named."""

    # Numbers must be numbers: the text "1e-4" is refused, not converted behind the reader's back.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class AugmentationParams(Section):
    """Random changes of training images; lengths are fractions of the image side."""

    horizontal_flip: bool
    vertical_flip: bool
    shift: Annotated[float, Field(ge=0.0, le=0.5)]
    rotation: Annotated[float, Field(ge=0.0, le=180.0)]
    zoom: Annotated[float, Field(ge=0.0, lt=1.0)]
    brightness: Share
    contrast: Share
    cutout: Share
    random_erasing: Share
    mixup: NonNegativeFloat
    cutmix: NonNegativeFloat


class FetchParams(Section):
    dataset: Literal["digits", "cifar10", "cifar100", "mnist", "fashion_mnist", "folder"]
    location: str | None
    class_names: dict[str, str]
    max_rejected: Share
    min_images_per_class: PositiveInt

    @model_validator(mode="after")
    def _folder_needs_location(self) -> Self:
        if self.dataset == "folder" and not self.location:
            raise ValueError(
                "dataset 'folder' needs fetch.location: a directory, .zip or .tar[.gz] of images"
            )
        return self


class SplitParams(Section):
    seed: Seed
    test_share: ProperShare
    validation_share: ProperShare
    train_limit: PositiveInt | None


class PreprocessParams(Section):
    image_size: Annotated[int, Field(ge=8, le=1024)]
    resize: Literal["pad", "crop", "stretch"]
    color: Literal["rgb", "grayscale"]


class FittingParams(Section):
    """What train_baseline and train_transfer share."""

    optimizer: OptimizerName
    schedule: ScheduleName
    warmup_share: Annotated[float, Field(ge=0.0, lt=1.0)]
    weight_decay: NonNegativeFloat
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)]
    early_stopping_patience: PositiveInt | None
    class_weights: ClassWeights


class TrainBaselineParams(FittingParams):
    network: Literal["fast_cnn", "small_cnn", "dense"]
    widths: Annotated[tuple[PositiveInt, ...], Field(min_length=1, strict=False)]
    dropout: DropoutRate
    epochs: PositiveInt


class TrainTransferParams(FittingParams):
    backbone: str
    weights: str
    head_units: Annotated[tuple[PositiveInt, ...], Field(strict=False)]
    dropout: DropoutRate
    unfreeze_from: str
    frozen_batch_norm: bool
    head_epochs: NonNegativeInt
    head_lr_scale: PositiveFloat
    fine_tune_epochs: NonNegativeInt
    fine_tune_lr_scale: PositiveFloat

    @model_validator(mode="after")
    def _trains_at_all(self) -> Self:
        if self.head_epochs + self.fine_tune_epochs == 0:
            raise ValueError("head_epochs and fine_tune_epochs are both 0: nothing would be trained")
        return self


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
    if _closest("values", value):
        return "Values"
    return "Range" if any(_closest(key, value) for key in Range.model_fields) else None


Search = Annotated[
    Annotated[Values, Tag("Values")] | Annotated[Range, Tag("Range")],
    Discriminator(
        _kind_of_search,
        custom_error_type="search",
        custom_error_message="give {values: [...]} or {min: ..., max: ..., sampling: linear | log}",
    ),
]

TUNABLE: dict[str, Any] = {
    "lr": PositiveFloat,
    "batch_size": PositiveInt,
    "dropout": DropoutRate,
    "width_scale": PositiveFloat,
    "weight_decay": NonNegativeFloat,
    "label_smoothing": Annotated[float, Field(ge=0.0, lt=1.0)],
    "warmup_share": Annotated[float, Field(ge=0.0, lt=1.0)],
    **{name: field.rebuild_annotation() for name, field in AugmentationParams.model_fields.items()},
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
                raise ValueError(f"space.{name} is no hyperparameter{_did_you_mean(name, TUNABLE)}")
            _check_searched_values(name, search)
        for name in ("lr", "batch_size"):
            if name not in self.space:
                raise ValueError(f"space.{name} is missing: tune does not use the top-level {name}")
        return self


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
            raise ValueError(f"space.{name}: {_plain(dict(error.errors()[0]))}") from None


class EvaluateParams(Section):
    batch_size: PositiveInt
    top_k: PositiveInt
    calibration_bins: PositiveInt
    bootstrap_samples: Annotated[int, Field(ge=100)]
    confidence: ProperShare
    heatmap_method: HeatmapMethod
    heatmap_layer: str
    heatmap_mistakes: NonNegativeInt
    heatmap_examples: NonNegativeInt
    feature_layers: Annotated[tuple[str, ...], Field(strict=False)]
    feature_map_images: PositiveInt
    map_images: PositiveInt


class ReportParams(Section):
    title: Annotated[str, Field(min_length=1)]
    examples_per_class: PositiveInt
    mistakes: PositiveInt


class TrackingParams(Section):
    experiment: Annotated[str, Field(min_length=1)]


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


class ExportParams(Section):
    """What exported models must keep of the original, and how they are made smaller."""

    max_accuracy_loss: Share
    max_lost_images: NonNegativeInt
    calibration_images: PositiveInt
    sparsity: ProperShare
    pruning_epochs: PositiveInt
    pruning_lr: PositiveFloat


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


def load_params(path: Path, overrides: typing.Sequence[str] = ()) -> Params:
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
            f"'{override}' is no setting of params.yaml.",
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


Problem = dict[str, Any]


def _without_repetitions(problems: list[Problem]) -> list[Problem]:
    """One line per mistake.

    A misspelt key is both unknown and missing under its right name; a list with a wrong item is
    also reported as too short.
    """
    misspelt = set()
    for problem in problems:
        if problem["type"] == "extra_forbidden":
            *section, name = _location(problem)
            misspelt.add((*section, _closest(name, _known_keys(problem))))
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
        return f"{key}: unknown key{_did_you_mean(location[-1], _known_keys(problem))}"
    if problem["type"] == "missing":
        return f"{key}: missing; every key must be there (see params.yaml in the repository)"
    if problem["type"] == "value_error":
        return f"{key}: {problem['ctx']['error']}"
    return f"{key}: {_plain(problem)}"


_EXPECTED = {
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "dict_type": "expected keys with values",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "model_type": "expected keys with values",
    "string_type": "expected text",
    "too_short": "expected at least one value",
    "tuple_type": "expected a list",
}


def _plain(problem: Problem) -> str:
    """What was expected and what was found, in the words of YAML."""
    found = problem.get("input")
    message = _EXPECTED.get(problem["type"]) or problem["msg"][0].lower() + problem["msg"][1:]
    if isinstance(found, str) and problem["type"] in ("float_type", "int_type") and _is_number(found):
        return f"{message}, found the text {found!r}: write it without quotes"
    if found is None:
        return f"{message}, found nothing"
    return f"{message}, found {str(found).lower() if isinstance(found, bool) else repr(found)}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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


def _closest(name: str, known: typing.Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, [str(key) for key in known], n=1, cutoff=0.6)), None)


def _did_you_mean(name: str, known: typing.Iterable[str]) -> str:
    known = list(known)
    if close := _closest(name, known):
        return f"; did you mean '{close}'?"
    return f"; known here: {', '.join(known)}" if known else ""
