"""What dvc.yaml says of the stages."""

import pytest

from pipeline.foundation.declarations import Declaration, is_within, parse_declarations

TEXT = """
stages:
  a:
    params: [seed]
    deps: [pipeline/a.py, pipelines, c/d]
    outs: [o: {cache: false}]
    metrics: [m.json]
  b: {cmd: y}
"""


def test_params_dependencies_and_outputs() -> None:
    stages = parse_declarations(TEXT)
    assert stages["a"] == Declaration(("seed",), ("pipeline/a.py", "pipelines", "c/d"), ("o", "m.json"))
    assert stages["a"].code == ("pipeline/a.py",)
    assert stages["b"] == Declaration((), (), ())


@pytest.mark.parametrize("text", ["", "stages: [", "stages: 1", "- a", "stages:\n  a: 1\n"])
def test_what_cannot_be_read_is_empty(text: str) -> None:
    assert parse_declarations(text) == {}


def test_a_path_is_within_itself_and_its_folders() -> None:
    assert is_within("a/b", "a")
    assert is_within("a", "a")
    assert not is_within("ab", "a")
    assert not is_within("a", "a/b")
