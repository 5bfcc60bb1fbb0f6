"""A stage ends when the DVC that has started it was killed, and otherwise does not care who its parent is."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

STAGE = """
    import os, sys, time
    from pathlib import Path
    from pipeline.execution import parent, process_setup

    process_setup.stop_in_good_order()
    Path("stage.pid").write_text(str(os.getpid()))
    time.sleep({importing})
    starter = parent.StartingProcess()
    try:
        with starter.ends_this_one("toy"):
            time.sleep({seconds})
        Path("ended").write_text("by itself")
    except process_setup.Terminated:
        Path("ended").write_text("with DVC")
"""
DVC = "import subprocess, sys; subprocess.run(['sh', '-c', 'python stage.py; true']); print('dvc')"


def run_and_kill(
    folder: Path, project: Path, variables: dict[str, str], seconds: float, importing: float = 0.0
) -> str:
    """How a stage ended whose starter was killed, maybe while the stage was still importing its libraries."""
    (folder / "stage.py").write_text(textwrap.dedent(STAGE.format(seconds=seconds, importing=importing)))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(project), "PATH": path, **variables}
    starter = subprocess.Popen([sys.executable, "-c", DVC], cwd=folder, env=environment)
    pid_file = folder / "stage.pid"
    until = time.monotonic() + 60
    while not (pid_file.exists() and pid_file.read_text()):
        assert time.monotonic() < until
        time.sleep(0.02)
    stage = psutil.Process(int(pid_file.read_text()))
    starter.send_signal(signal.SIGKILL)
    starter.wait()
    psutil.wait_procs([stage], timeout=20)
    return (folder / "ended").read_text()


def test_a_stage_ends_when_its_dvc_was_killed(project: Path, tmp_path: Path) -> None:
    assert run_and_kill(tmp_path, project, {"DVC_STAGE": "toy"}, seconds=60) == "with DVC"


def test_a_stage_ends_whose_dvc_was_killed_before_it_looked(project: Path, tmp_path: Path) -> None:
    assert run_and_kill(tmp_path, project, {"DVC_STAGE": "toy"}, seconds=60, importing=1.5) == "with DVC"


def test_a_stage_that_a_person_has_started_goes_on(project: Path, tmp_path: Path) -> None:
    assert run_and_kill(tmp_path, project, {}, seconds=1.5) == "by itself"


@pytest.mark.parametrize("stage", ["", "toy"])
def test_as_long_as_the_starter_lives_nothing_happens(monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    from pipeline.execution.parent import StartingProcess
    from pipeline.processes import starting_process

    if stage:
        monkeypatch.setattr(starting_process, "DVC", psutil.Process().parent())
    starter = StartingProcess()
    assert not starter.has_died
    starter.require_alive()
