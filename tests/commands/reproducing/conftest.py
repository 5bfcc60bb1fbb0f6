"""A project in git in which nothing is really run."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pipeline.commands.reproducing import named_experiments
from pipeline.foundation.workspace import Workspace
from pipeline.processes.child_process import Say
from tests.commands.reproducing.outside import Outside, change, git


@pytest.fixture
def project_folder(project: Path, workspace: Workspace) -> Workspace:
    """A git repository with params, dvc.yaml and a little code; params.yaml has seed 5."""
    shutil.copy(project / "dvc.yaml", workspace.stages)
    change(workspace, project / "params.yaml", "seed", 5)
    for path in ("pipeline/training/fitting.py", "pipeline/tracking/runs.py", "pipeline/fetch.py"):
        (workspace.root / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace.root / path).write_text("1")
    git(workspace, "init", "--quiet")
    git(workspace, "commit", "--quiet", "--allow-empty", "--message", "x")
    return workspace


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Outside:
    state = Outside()

    def run_dvc(folder: Path, arguments: Sequence[str], environment: Mapping[str, str], say: Say) -> int:
        state.commands.append(" ".join(arguments))
        state.on_run(state.names[-1])
        return next(state.codes)

    monkeypatch.setattr(named_experiments, "run_dvc", run_dvc)
    monkeypatch.setattr(
        named_experiments, "_dvc_sees_no_change", lambda workspace, stage, say: state.up_to_date
    )
    monkeypatch.setattr(named_experiments, "read_trainings", lambda *arguments: state.trainings)
    return state
