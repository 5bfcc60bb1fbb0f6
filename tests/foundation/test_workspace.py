"""Paths: what belongs to a run lies below its root, what outlives it below the project's home."""

from pathlib import Path

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace


@pytest.fixture
def queued(tmp_path: Path) -> Workspace:
    """The workspace of a queued experiment: a copy inside the project."""
    return Workspace(root=tmp_path / ".dvc" / "tmp" / "exps" / "copy", home=tmp_path)


def test_outside_of_dvc_root_and_home_are_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Workspace.from_environment() == Workspace(root=tmp_path, home=tmp_path)


def test_in_a_queued_experiment_home_is_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert Workspace.from_environment() == Workspace(root=copy, home=tmp_path)


def test_outputs_go_to_the_copy_and_what_outlives_it_to_the_project(queued: Workspace) -> None:
    outputs = [
        queued.params,
        queued.fetched,
        queued.split,
        queued.split_metrics,
        queued.arrays,
        queued.model("baseline"),
        queued.scores,
        queued.predictions,
        queued.plots,
        queued.best,
        queued.report,
    ]
    assert all(path.is_relative_to(queued.root) for path in outputs)
    lasting = [queued.resume, queued.journal, queued.tracking_database, queued.tracking_artifacts]
    assert all(path.parent == queued.home for path in lasting)


def test_locations_are_relative_to_the_project_also_in_a_queued_experiment(
    queued: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert queued.resolve_location("../images.zip") == tmp_path.parent / "images.zip"
    assert queued.resolve_location("images") == tmp_path / "images"
    assert queued.resolve_location("/somewhere/else") == Path("/somewhere/else")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert queued.resolve_location("~/images") == tmp_path / "me" / "images"


@pytest.mark.parametrize("location", ["data", ".", "data/fetched", "models", "/"])
def test_a_location_above_what_the_stages_write_is_refused(tmp_path: Path, location: str) -> None:
    workspace = Workspace(tmp_path, tmp_path)
    with pytest.raises(PipelineError, match="holds what the pipeline itself writes"):
        workspace.resolve_location(location)
    assert workspace.resolve_location("data/raw") == tmp_path / "data" / "raw"
