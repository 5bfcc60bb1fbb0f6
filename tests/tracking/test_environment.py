"""How another environment is told from this one."""

import importlib.metadata
import json
import platform

import pytest

from pipeline.tracking import environment, tags
from pipeline.tracking.environment import card_differences, machine_differences, requirement_differences

HERE = {
    tags.PROCESSOR: "Z80",
    tags.CPU_FLAGS: "avx fma",
    tags.THREADS: "2",
    tags.PYTHON: "3.11.7",
    tags.KERAS: "3.0",
}


@pytest.fixture(autouse=True)
def this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def tags_here(params: dict[str, object]) -> dict[str, str]:
        return HERE | {tags.THREADS: str(params["threads"])}

    monkeypatch.setattr(environment, "machine_tags", tags_here)


def test_the_same_machine_has_no_differences() -> None:
    assert machine_differences(HERE, {"threads": 2}) == []


def test_another_machine_is_described() -> None:
    other = {**HERE, tags.PROCESSOR: "6502", tags.CPU_FLAGS: "avx avx512f amx_tile", tags.KERAS: "2.9"}
    assert machine_differences(other, {"threads": 4}) == [
        "processor: 6502 there, Z80 here",
        "threads: 2 there, 4 here",
        "keras: 2.9 there, 3.0 here",
        "instruction sets only there: amx_tile avx512f",
        "instruction sets only here: fma",
    ]


def test_what_was_not_recorded_is_no_difference() -> None:
    assert machine_differences({tags.PROCESSOR: "Z80"}, {"threads": 2}) == []


def test_versions_in_a_model_card() -> None:
    python = ".".join(platform.python_version_tuple()[:2])
    numpy = importlib.metadata.version("numpy")
    versions = {"python": python, "numpy": numpy, "jax": "0.5", "tensorflow": "1.0"}
    assert card_differences(json.dumps({"versions": versions})) == [
        "jax: 0.5 there, not installed here",
        f"tensorflow: 1.0 there, {environment._version_here('tensorflow')} here",
    ]
    assert card_differences("") == card_differences("{}") == []


def test_versions_in_a_requirements_lock() -> None:
    numpy, dvc = importlib.metadata.version("numpy"), importlib.metadata.version("dvc")
    text = (
        f"numpy==1.0 ; python_version < '3.9' \\\n    --hash=sha256:ab\nnumpy=={numpy} \\\n    --hash=x==1\n"
        "dvc==0.1 ; sys_platform == 'linux' \\\n    --hash=sha256:cd\nfor-another-system==1.0\n"
    )
    assert requirement_differences(text) == [f"dvc 0.1 there, {dvc} here"]
