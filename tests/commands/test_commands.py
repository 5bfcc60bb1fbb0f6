"""`python -m pipeline`: what a person sees of it."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import ModuleType

import pytest

from pipeline import __main__ as commands
from pipeline.commands.addresses.address import GRAMMAR
from pipeline.commands.models import explain as explaining
from pipeline.commands.reproducing import repro as reproduction
from pipeline.commands.reproducing import verify as verification
from pipeline.foundation.workspace import Workspace

COMMANDS = {name: wing for wing, texts in commands._WINGS.items() for name in texts}


def run(project: Path, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(project), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def folder(project: Path, tmp_path: Path) -> Path:
    """A project folder with params and nothing else."""
    (tmp_path / "params.yaml").write_bytes((project / "params.yaml").read_bytes())
    return tmp_path


def test_help_lists_the_commands(project: Path, folder: Path) -> None:
    done = run(project, folder, "--help")
    assert done.returncode == 0
    for name in COMMANDS:
        assert re.search(rf"^    {name} ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_found_in_the_file_of_its_name(
    project: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with pytest.raises(SystemExit):
        commands.main([name, "--help"])
    printed = capsys.readouterr().out
    assert f"usage: python -m pipeline {name} " in printed
    assert (project / "pipeline" / "commands" / COMMANDS[name] / f"{name}.py").exists()


@pytest.mark.parametrize(
    "name", ["compare", "explain", "export", "predict", "serve", "register", "lineage", "verify"]
)
def test_commands_that_take_a_model_say_how_one_is_named(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with pytest.raises(SystemExit):
        commands.main([name, "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    for form, meaning in GRAMMAR:
        assert f"{form} {meaning}" in printed


@pytest.mark.parametrize("name", ["predict", "explain"])
@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_a_number_of_classes_that_is_none(capsys: pytest.CaptureFixture[str], name: str, number: str) -> None:
    with pytest.raises(SystemExit):
        commands.main([name, "a.png", f"--top={number}"])
    assert f"{number} is not a number of classes: at least 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "typed", "syncs"),
    [
        (explaining, ["explain", "a.png"], False),
        (explaining, ["explain", "a.png", "--model", "tuned"], False),
        (explaining, ["explain", "a.png", "--model", "1fd643"], True),
        (verification, ["verify"], False),
        (verification, ["verify", "1fd643"], True),
    ],
)
def test_what_may_be_a_run_is_looked_for_after_a_sync(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, typed: list[str], syncs: bool
) -> None:
    done: list[str] = []
    monkeypatch.setattr(module, "bring_up_to_date", lambda *arguments: done.append("sync"))
    monkeypatch.setattr(module, typed[0], lambda *arguments: done.append("command"))
    monkeypatch.setattr(commands, "quiet_libraries", lambda: None)
    monkeypatch.setattr(commands, "stop_in_good_order", lambda: None)
    commands.main(typed)
    assert done == [*(["sync"] if syncs else []), "command"]


def test_a_command_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        commands.main(["reprise"])
    assert "invalid choice: 'reprise'" in capsys.readouterr().err


def test_sync_with_nothing_to_do(project: Path, folder: Path) -> None:
    done = run(project, folder, "sync")
    assert (done.stdout, done.stderr, done.returncode) == ("MLflow is up to date.\n", "", 0)


def test_sync_with_a_server_that_is_down(project: Path, folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = run(project, folder, "sync", MLFLOW_TRACKING_URI=f"http://me:secret@127.0.0.1:{port}")
    assert done.returncode == 1
    assert f"nothing answers at http://127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stdout + done.stderr


def test_summary_before_the_pipeline_has_run(project: Path, folder: Path) -> None:
    done = run(project, folder, "summary")
    assert done.stderr.startswith(f"summary: {folder}/metrics/evaluate.json is missing.\n")
    assert (done.stdout, done.returncode) == ("", 1)


@pytest.mark.parametrize("code", [0, 255])
def test_repro_syncs_and_then_shows_the_models_if_all_went_well(
    monkeypatch: pytest.MonkeyPatch, workspace: Workspace, project: Path, code: int
) -> None:
    workspace.params.write_bytes((project / "params.yaml").read_bytes())
    done: list[object] = []

    def reproduce(workspace: Workspace, overrides: list[str], say: object) -> int:
        done.append(overrides)
        return code

    def bring_up_to_date(*arguments: object) -> str:
        done.append("sync")
        return ""

    monkeypatch.setattr(reproduction, "reproduce", reproduce)
    monkeypatch.setattr(reproduction, "bring_up_to_date", bring_up_to_date)
    monkeypatch.setattr(reproduction, "print_summary", lambda workspace: done.append("summary"))
    monkeypatch.setattr(commands, "quiet_libraries", lambda: None)
    monkeypatch.setattr(commands, "stop_in_good_order", lambda: None)
    monkeypatch.chdir(workspace.root)
    assert commands.main(["repro", "-S", "lr=0.1", "-S", "batch_size=64"]) == code
    assert done == [["lr=0.1", "batch_size=64"], "sync", *(["summary"] if code == 0 else [])]


@pytest.mark.slow
def test_the_ui_starts_on_a_free_port_and_ends_with_ctrl_c(project: Path, folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "ui", "--port", str(port)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(project)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        assert lines[1].startswith(f"Port {port} is taken; using ")
        page = re.fullmatch(
            r"(http://127\.0\.0\.1:\d+)/#/experiments/\d+/runs"
            r"\?workflowType=machine_learning&viewStateShareKey=trainings\n",
            lines[2],
        )
        assert page is not None
        with urllib.request.urlopen(page[1], timeout=10) as answer:
            assert b"MLflow" in answer.read()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert (output, errors, process.returncode) == ("The MLflow UI has ended.\n", "", 0)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(page[1], timeout=2)
