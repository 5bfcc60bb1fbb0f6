"""Stages as notebooks run them."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import fetch, split
from pipeline.execution.in_process import run_stages, temporary_workspace
from pipeline.foundation.files import read_json
from pipeline.params.whole import load_params


def test_stages_run_in_order_with_their_own_params(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = temporary_workspace()
    params = load_params(project / "params.yaml", ["fetch.dataset=digits", "split.test_share=0.5"])
    run_stages(workspace, params, fetch, split)
    # Of the 1,797 digits half are for the test; rounded per class.
    assert read_json(workspace.split_metrics)["test"] == pytest.approx(1797 / 2, abs=10)
    lines = capsys.readouterr().out.splitlines()
    assert lines.index("fetch: started") < lines.index("split: started")


def test_a_temporary_workspace_is_gone_when_its_process_has_ended() -> None:
    code = (
        "from pipeline.execution.in_process import temporary_workspace; "
        "first, second = temporary_workspace(), temporary_workspace(); "
        "assert first.root != second.root and first.root.is_dir() and second.root.is_dir(); "
        "print(first.root)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not Path(ended.stdout.strip()).exists()
    assert ended.stderr == ""
