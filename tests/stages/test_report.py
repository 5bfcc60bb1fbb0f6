"""The report stage on a fake project."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.tracker import SilentTracker
from pipeline.report import run
from tests.reporting.fake_project import FakeProject, config, figure_names, write_fake_project

FORMS = ("index.html", "report.pdf", "slides.pptx", "figures.zip")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_runs_give_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = write_fake_project(tmp_path)
    run(workspace, config({"shift": 0.25, "mixup": 0.2}), SilentTracker())
    first = contents(workspace.report)
    told = capsys.readouterr().out
    assert [line.split(":")[0].strip() for line in told.splitlines()[1:]] == list(FORMS)
    assert set(FORMS) == set(first)
    assert len(figure_names(workspace)) > 15
    run(workspace, config({"shift": 0.25, "mixup": 0.2}), SilentTracker())
    second = contents(workspace.report)
    assert [name for name in first if second[name] != first[name]] == []
    assert second.keys() == first.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    "project",
    [
        FakeProject(channels=1, rejected=()),
        FakeProject(wrong={"baseline": range(3)}, validation_wrong={"baseline": 1}, best="baseline"),
        FakeProject(wrong={"baseline": (), "transfer": (), "tuned": ()}),
        FakeProject(
            classes=("a", "b"),
            test_per_class=2,
            wrong=dict.fromkeys(("baseline", "transfer", "tuned"), range(4)),
        ),
    ],
    ids=["grayscale", "one network", "no mistake", "nothing right"],
)
def test_unusual_projects_have_a_report(tmp_path: Path, project: FakeProject) -> None:
    workspace = write_fake_project(tmp_path, project)
    run(workspace, config(), SilentTracker())
    for name in FORMS:
        assert (workspace.report / name).stat().st_size > 100_000


def test_a_missing_file_leaves_the_old_report(tmp_path: Path) -> None:
    workspace = write_fake_project(tmp_path)
    workspace.report.mkdir(parents=True)
    (workspace.report / "index.html").write_text("old")
    workspace.scores.unlink()
    with pytest.raises(PipelineError, match=r"evaluate\.json is missing"):
        run(workspace, config(), SilentTracker())
    assert contents(workspace.report) == {"index.html": b"old"}


def test_neither_tensorflow_nor_mlflow_is_imported() -> None:
    """In a process of its own; importing either would take seconds."""
    code = (
        "import sys, pipeline.report; "
        "print(sorted({'tensorflow', 'keras', 'mlflow', 'matplotlib.pyplot'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
