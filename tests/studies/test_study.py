"""A study's file is checked, and a mistake in it is one line that names the key."""

import copy
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.foundation.errors import PipelineError
from pipeline.studies.study import load_study
from tests.studies.valid import VALID


def written(folder: Path, values: Any, name: str = "batch_size.yaml") -> Path:
    file = folder / name
    with file.open("w", encoding="utf-8") as stream:
        YAML().dump(values, stream)
    return file


def test_a_study_says_what_is_put_over_params(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, VALID))
    assert list(study.settings) == ["usual", "small"]
    assert study.values("small", 1, {}) == {"lr": 0.1, "batch_size": 8, "seed": 1}
    assert study.values("usual", 0, {"lr": 0.2}) == {"lr": 0.2, "seed": 0}  # a location, say, goes over it


MISTAKES = [
    ({"titel": "x", "title": ...}, "titel: unknown key; did you mean 'title'?"),
    ({"budget_minutes": ...}, "budget_minutes: missing; every key must be there (see docs/studies.md)"),
    ({"question": ""}, "question: string should have at least 1 character, found ''"),
    ({"candidate": "base"}, "candidate: input should be 'baseline', 'transfer' or 'tuned', found 'base'"),
    ({"seeds": [0]}, "seeds: expected two seeds or more, all different, found [0]"),
    ({"seeds": [0, 1, 1]}, "seeds: expected two seeds or more, all different, found [0, 1, 1]"),
    ({"seeds": [0, "1"]}, "seeds.1: expected a whole number, found the text '1': write it without quotes"),
    ({"seeds": [0, -1]}, "seeds.1: input should be greater than or equal to 0, found -1"),
    ({"budget_minutes": 0}, "budget_minutes: input should be greater than 0, found 0"),
    ({"base": None}, "base: expected keys with values, found nothing"),
    ({"settings": {"usual": {}}}, "settings: expected at least two settings: one of them is the reference"),
    ({"settings": {"usual": {}, "small": None}}, "settings.small: expected keys with values, found nothing"),
    (
        {"settings": {"usual": {}, "a b": {}}},
        "settings: 'a b' is no name: expected at most 24 letters, digits and any of _.+-",
    ),
    (
        {"settings": {"usual": {}, "small": {"tune.space.lr": {"min": 1}}}},
        "settings.small.tune.space.lr: expected one value or a list, found {'min': 1}: name what is below it "
        "with dots",
    ),
    (
        {"settings": {"usual": {}, "small": {"split.seed": 1}}},
        "settings: small sets split.seed, which decides what images validate; it belongs into base, where it "
        "is the same for all settings",
    ),
    (
        {"settings": {"usual": {}, "small": {"fetch.dataset": "mnist"}}},
        "settings: small sets fetch.dataset, which decides what images validate; it belongs into base, where "
        "it is the same for all settings",
    ),
    ({"reference": "usal"}, "{file}: reference 'usal' is none of the settings; did you mean 'usual'?"),
    ({"base": {"seed": 1}}, "{file}: seed is set by seeds, not by base or a setting"),
]


@pytest.mark.parametrize(("changes", "line"), MISTAKES, ids=lambda argument: str(argument)[:30])
def test_a_mistake_is_one_line_that_names_the_key(tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    values = copy.deepcopy(VALID) | changes
    file = written(tmp_path, {key: value for key, value in values.items() if value is not ...})
    with pytest.raises(PipelineError) as caught:
        load_study(file)
    expected = line.replace("{file}", str(file))
    assert str(caught.value).splitlines() == [f"{file} does not fit:", f"  - {expected}"]


@pytest.mark.parametrize(
    "content", ["", "- 1\n", "title: [\n", "title: caf\xe9", "settings: {1: {}, 2: {}}\n"]
)
def test_a_file_that_is_no_study_is_one_error(tmp_path: Path, content: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(PipelineError, match=r"study\.yaml (does not fit|is not valid YAML)"):
        load_study(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"none\.yaml is missing"):
        load_study(tmp_path / "none.yaml")


def test_results_need_a_folder_of_another_name(tmp_path: Path) -> None:
    file = written(tmp_path, VALID, name="study")
    with pytest.raises(PipelineError, match=r"whose name ends in \.yaml"):
        load_study(file)
