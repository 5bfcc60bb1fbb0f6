"""params.yaml is checked, and a mistake in it is one clear line."""

import copy
import shutil
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from dvc.utils.hydra import apply_overrides
from hypothesis import given, settings
from pydantic import ValidationError
from ruamel.yaml import YAML

from pipeline.foundation.errors import PipelineError
from pipeline.params.base import Section
from pipeline.params.fetch import FetchParams
from pipeline.params.split import SplitParams
from pipeline.params.tune import Range, Values
from pipeline.params.whole import (
    Params,
    as_override_value,
    load_params,
    load_params_with,
    parse_params,
    quoted,
    select,
)
from tests.fetch_params import fetch_params

MISSING = "(missing)"


@pytest.fixture
def values(project: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load((project / "params.yaml").read_text(encoding="utf-8"))
    return loaded


def changed(values: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """`values` with the dotted `key` set, or removed where the value is MISSING."""
    result = copy.deepcopy(values)
    *sections, name = key.split(".")
    section = result
    for part in sections:
        section = section[part]
    if value is MISSING:
        del section[name]
    else:
        section[name] = value
    return result


def test_the_projects_own_params_are_valid(project: Path) -> None:
    params = load_params(project / "params.yaml")
    assert params.fetch.dataset == "digits"
    assert params.fetch.location is None
    assert isinstance(params.tune.space["lr"], Range)
    assert isinstance(params.tune.space["batch_size"], Values)


@pytest.mark.parametrize(
    ("written", "expected"),
    [("1e-4", 1e-4), ("1e-05", 1e-5), ("0.1", 0.1), ("1", 1.0)],
)
def test_numbers_are_numbers_however_dvc_writes_them(
    project: Path, tmp_path: Path, written: str, expected: float
) -> None:
    text = (project / "params.yaml").read_text(encoding="utf-8")
    lines = [f"lr: {written}" if line.startswith("lr:") else line for line in text.splitlines()]
    (tmp_path / "params.yaml").write_text("\n".join(lines), encoding="utf-8")

    lr = load_params(tmp_path / "params.yaml").lr

    assert type(lr) is float
    assert lr == expected


MISTAKES = [
    ("lrr", 0.1, "lrr: unknown key; did you mean 'lr'?"),
    ("train_baseline.epoch", 3, "train_baseline.epoch: unknown key; did you mean 'epochs'?"),
    ("split.zzz", 3, "split.zzz: unknown key; known here: seed, test_share, validation_share, train_limit"),
    ("lr", MISSING, "lr: missing; every key must be there (see params.yaml in the repository)"),
    ("tune.space.lr", {"values": ["a"]}, "tune: space.lr: expected a number, found 'a'"),
    (
        "tune.space.network",
        {"values": ["tiny"]},
        "tune: space.network: input should be 'fast_cnn', 'small_cnn' or 'dense', found 'tiny'",
    ),
    (
        "tune.transfer_space.head_lr_scael",
        {"values": [2]},
        "tune: transfer_space.head_lr_scael is not a hyperparameter; did you mean 'head_lr_scale'?",
    ),
    ("tune.space", {}, "tune.space: expected at least one value, found {}"),
    (
        "train_baseline.input_size",
        20,
        "params.yaml: train_baseline.input_size 20 does not divide preprocess.image_size 32; choose one that "
        "does, or one above it",
    ),
    ("lr", "1e-4", "lr: expected a number, found the text '1e-4': write it without quotes"),
    ("lr", "fast", "lr: expected a number, found 'fast'"),
    ("lr", None, "lr: expected a number, found nothing"),
    ("lr", True, "lr: expected a number, found true"),
    ("lr", float("nan"), "lr: expected a finite number, found nan"),
    ("lr", -0.1, "lr: input should be greater than 0, found -0.1"),
    ("train_baseline.epochs", 1.5, "train_baseline.epochs: expected a whole number, found 1.5"),
    ("train_baseline.widths", [], "train_baseline.widths: expected at least one value, found []"),
    ("train_baseline.widths", 32, "train_baseline.widths: expected a list, found 32"),
    (
        "train_baseline.widths",
        [32, "64"],
        "train_baseline.widths.1: expected a whole number, found the text '64': write it without quotes",
    ),
    ("train_baseline", None, "train_baseline: expected keys with values, found nothing"),
    (
        "augmentation.horizontal_flip",
        "yes",
        "augmentation.horizontal_flip: expected true or false, found 'yes'",
    ),
    (
        "preprocess.resize",
        "squash",
        "preprocess.resize: input should be 'pad', 'crop' or 'stretch', found 'squash'",
    ),
    ("split.test_share", 1.0, "split.test_share: input should be less than 1, found 1.0"),
    (
        "fetch.dataset",
        "folder",
        "fetch: dataset 'folder' needs fetch.location: a directory, .zip or .tar[.gz] of images",
    ),
    ("fetch.class_names", {"cane": [1]}, "fetch.class_names.cane: expected text, found [1]"),
    (
        "tune.space.lr",
        {"min": 0.1, "max": 1.0, "smpling": "log"},
        "tune.space.lr.smpling: unknown key; did you mean 'sampling'?",
    ),
    ("tune.space.lr", {"valus": [0.1]}, "tune.space.lr.valus: unknown key; did you mean 'values'?"),
    (
        "tune.space.lr",
        {"min": 0.1, "max": 1.0},
        "tune.space.lr.sampling: missing; every key must be there (see params.yaml in the repository)",
    ),
    (
        "tune.space.lr",
        0.1,
        "tune.space.lr: give {values: [...]} or {min: ..., max: ..., sampling: linear | log}, found 0.1",
    ),
    (
        "tune.space.lr",
        {"min": 1.0, "max": 0.1, "sampling": "log"},
        "tune.space.lr: min 1.0 is not below max 0.1",
    ),
    (
        "tune.space.shift",
        {"min": 0.0, "max": 0.1, "sampling": "log"},
        "tune.space.shift: logarithmic sampling needs min above 0, not 0.0",
    ),
    (
        "tune.space.lr",
        {"values": [[1]]},
        "tune.space.lr.values.0: expected a number, a name, true or false, found [1]",
    ),
    (
        "tune.space.drpout",
        {"values": [0.1]},
        "tune: space.drpout is not a hyperparameter; did you mean 'dropout'?",
    ),
    (
        "tune.space.dropout",
        {"values": [0.1, 1.5]},
        "tune: space.dropout: input should be less than 1, found 1.5",
    ),
    (
        "tune.space.shift",
        {"min": 0.0, "max": 0.9, "sampling": "linear"},
        "tune: space.shift: input should be less than or equal to 0.5, found 0.9",
    ),
    (
        "tune.space.batch_size",
        {"min": 32, "max": 256, "sampling": "log"},
        "tune: space.batch_size takes single values: give {values: [...]}",
    ),
]


@pytest.mark.parametrize(("key", "value", "line"), MISTAKES, ids=lambda argument: str(argument)[:30])
def test_a_mistake_is_one_line_that_names_the_key(
    values: dict[str, Any], key: str, value: Any, line: str
) -> None:
    with pytest.raises(PipelineError) as caught:
        parse_params(changed(values, key, value))
    assert str(caught.value).splitlines() == ["params.yaml does not fit:", f"  - {line}"]


def test_several_mistakes_are_all_reported(values: dict[str, Any]) -> None:
    with pytest.raises(PipelineError) as caught:
        parse_params(changed(changed(values, "lr", "x"), "split.test_share", 2))
    assert len(str(caught.value).splitlines()) == 3


def test_a_misspelt_key_is_not_reported_as_missing_too(values: dict[str, Any]) -> None:
    misspelt = changed(changed(values, "split.test_shares", 0.2), "split.test_share", MISSING)
    with pytest.raises(PipelineError) as caught:
        parse_params(misspelt)
    assert str(caught.value).splitlines()[1:] == [
        "  - split.test_shares: unknown key; did you mean 'test_share'?"
    ]


def test_switches_and_single_values_can_be_searched(values: dict[str, Any]) -> None:
    searched = changed(values, "tune.space.horizontal_flip", {"values": [False, True]})
    space = parse_params(searched).tune.space
    assert space["horizontal_flip"] == Values(values=(False, True))
    # 64 stays a whole number: a batch size of 64.0 would be none.
    batch_sizes = space["batch_size"]
    assert isinstance(batch_sizes, Values)
    assert [type(value) for value in batch_sizes.values] == [int, int]


def test_the_bundled_backbone_is_refused_on_the_data_it_was_trained_on(values: dict[str, Any]) -> None:
    with pytest.raises(PipelineError, match=r"has seen these images; choose another, for example -S train_"):
        parse_params(changed(values, "fetch.dataset", "cifar100"))
    other = changed(values, "train_transfer.backbone", "MobileNetV2")
    assert parse_params(changed(other, "fetch.dataset", "cifar100")).fetch.dataset == "cifar100"


@pytest.mark.parametrize("content", ["", "- 1\n- 2\n", "seed: 0\nseed: 1\n", "seed: [0\n", "name: caf\xe9"])
def test_a_file_that_is_no_params_file_is_one_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "params.yaml").write_bytes(content.encode("latin-1"))
    with pytest.raises(PipelineError, match=r"params\.yaml (does not fit|is not valid YAML)"):
        load_params(tmp_path / "params.yaml")


def test_a_missing_file_says_where_to_be(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"params\.yaml is missing"):
        load_params(tmp_path / "params.yaml")


def test_sections_are_immutable_and_have_no_defaults(values: dict[str, Any]) -> None:
    params = parse_params(values)
    with pytest.raises(ValidationError, match="frozen"):
        params.split.seed = 3  # type: ignore[misc]

    def sections(section: type[Section]) -> list[type[Section]]:
        fields = [field.annotation for field in section.model_fields.values()]
        below = [field for field in fields if isinstance(field, type) and issubclass(field, Section)]
        return [section, *(deeper for one in below for deeper in sections(one))]

    with_default = [
        f"{section.__name__}.{name}"
        for section in (*sections(Params), *sections(Values), *sections(Range))
        for name, field in section.model_fields.items()
        if not field.is_required()
    ]
    assert with_default == []


def test_a_stage_sees_only_what_it_declares(values: dict[str, Any]) -> None:
    class Config(Section):
        seed: int
        split: SplitParams

    config = select(parse_params(changed(values, "seed", 7)), Config)

    assert config.seed == 7
    assert config.split.test_share == values["split"]["test_share"]
    assert not hasattr(config, "lr")
    assert set(config.model_dump()) == {"seed", "split"}
    assert FetchParams.__name__ not in repr(config)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.text("ab'\"\\ ${}:,=[]()#&*", max_size=9))
@settings(max_examples=100, deadline=None)
def test_any_text_reaches_params_through_dvc(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "params.yaml"
        file.write_text("fetch:\n  location: null\n")
        apply_overrides(file, [f"fetch.location={quoted(text)}"])
        values = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    assert values == {"fetch": {"location": text}}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lr", 1e-05),
        ("batch_size", 64),
        ("augmentation.horizontal_flip", True),
        ("split.train_limit", None),
        ("train_baseline.widths", [64, 256, 256]),
        ("train_transfer.head_units", []),
        ("train_transfer.weights", "a folder/weights, v2.h5"),
        *[("train_transfer.backbone", name) for name in ("plain_word", "null", "true", "nan", "off", "1e5")],
        ("evaluate.feature_layers", ["block1", "it's = [2]"]),
    ],
)
def test_any_value_reaches_params_through_dvc(project: Path, tmp_path: Path, key: str, value: Any) -> None:
    """And means the same as where it is put over params.yaml by us."""
    shutil.copy(project / "params.yaml", tmp_path)
    file = tmp_path / "params.yaml"
    apply_overrides(file, ["split.train_limit=100"])
    expected = load_params_with(file, {key: value}, "a test")
    assert expected != load_params(file)
    apply_overrides(file, [f"{key}={as_override_value(value)}"])
    assert load_params(file) == expected


def test_a_value_that_does_not_fit_is_said_to_come_from_its_source(project: Path) -> None:
    with pytest.raises(PipelineError) as caught:
        load_params_with(project / "params.yaml", {"lr": 0.1, "split.train_limit": -1}, "A test")
    assert str(caught.value).splitlines() == [
        "A test does not fit:",
        "  - split.train_limit: input should be greater than or equal to 1, found -1",
    ]


def test_classes_may_be_called_by_numbers() -> None:
    names = YAML(typ="safe").load("{0: zero, 2: 3, true: yes, '007': Bond}")
    assert fetch_params(location=".", class_names=names).class_names == {
        "0": "zero",
        "2": "3",
        "true": "yes",
        "007": "Bond",
    }
