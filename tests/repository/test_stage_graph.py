"""What decides the result of a stage, read from the project's own dvc.yaml."""

from pathlib import Path

import pytest

from pipeline.repository.stage_graph import Decisive, read_stage_graph


@pytest.fixture(scope="module")
def graph(project: Path) -> dict[str, Decisive]:
    return read_stage_graph(project / "dvc.yaml")


def test_the_stages_before_a_stage_decide_too(graph: dict[str, Decisive]) -> None:
    baseline = graph["train_baseline"]
    for name in ("lr", "train_baseline.network", "augmentation.shift", "split.seed", "fetch.dataset"):
        assert baseline.holds_param(name), name
    for name in ("tune.max_trials", "train_transfer.dropout", "evaluate.top_k", "tracking.experiment"):
        assert not baseline.holds_param(name), name


def test_a_name_is_no_section_because_it_begins_like_one(graph: dict[str, Decisive]) -> None:
    assert graph["train_baseline"].holds_param("seed")
    assert not graph["train_baseline"].holds_param("seeding.more")
    assert not graph["train_baseline"].holds_param("seed_of_something")


def test_code_is_what_the_stages_import_and_nothing_else(graph: dict[str, Decisive]) -> None:
    baseline = graph["train_baseline"]
    for path in ("pipeline/training/fitting.py", "pipeline/fetch.py", "pipeline/images/splitting.py"):
        assert baseline.holds_code(path), path
    for path in ("pipeline/train_transfer.py", "pipeline/tracking/runs.py", "README.md", "data/arrays/train"):
        assert not baseline.holds_code(path), path


def test_evaluate_depends_on_all_that_trains(graph: dict[str, Decisive]) -> None:
    assert graph["evaluate"].holds_param("tune.max_trials")
    assert graph["evaluate"].holds_code("pipeline/train_transfer.py")
    assert not graph["evaluate"].holds_param("report.title")


@pytest.mark.parametrize("text", [None, "", "stages: []", "a: [", "stages:\n  a: 1\n"])
def test_without_a_readable_file_nothing_is_known(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "dvc.yaml"
    if text is not None:
        file.write_text(text)
    assert read_stage_graph(file) == {}
