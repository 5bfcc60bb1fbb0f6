"""DVC as a process whose output is seen live and that ends in good order."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from pipeline.execution.process_setup import Terminated
from pipeline.foundation.files import require_writable
from pipeline.processes.child_process import Say


def dvc_environment() -> dict[str, str]:
    """The environment for DVC: the stages' `python` is this one, also where no environment is activated."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "true"}


def run_dvc(folder: Path, arguments: Sequence[str], environment: Mapping[str, str], say: Say) -> int:
    """Run a DVC command in a folder and return its exit code.

    Ctrl-C reaches DVC and its stage from the terminal, SIGTERM is passed on to the stage; both then end by
    themselves, and only after that this does.

    Raises:
      KeyboardInterrupt, Terminated: it was stopped so.
    """
    _require_usable(folder, say)
    say("$ " + shlex.join(["dvc", *arguments]))
    stopped: list[type[BaseException]] = []
    child = subprocess.Popen([sys.executable, "-m", "dvc", *arguments], cwd=folder, env=dict(environment))

    def interrupt(*_: object) -> None:
        stopped.append(KeyboardInterrupt)

    def terminate(*_: object) -> None:
        stopped.append(Terminated)
        for process in psutil.Process(child.pid).children(recursive=True):
            process.terminate()

    handlers = {signal.SIGINT: interrupt, signal.SIGTERM: terminate}
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        code = child.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if stopped:
        raise stopped[0]
    return code


def dvc_status(folder: Path, options: Sequence[str], say: Say) -> subprocess.CompletedProcess[str]:
    """What `dvc status` answers.

    Raises:
      PipelineError: nothing can be written there, and DVC asks for its locks even to look.
    """
    _require_usable(folder, say)
    command = [sys.executable, "-m", "dvc", "status", *options]
    return subprocess.run(
        command, cwd=folder, env=dvc_environment(), capture_output=True, text=True, check=False
    )


def _require_usable(folder: Path, say: Say) -> None:
    """Raises PipelineError where DVC could not write; removes what would keep it from starting."""
    require_writable(folder)
    # DVC's list of who reads and writes what; after a full disk it is empty, and DVC refuses to start.
    file = folder / ".dvc" / "tmp" / "rwlock"
    name = file.relative_to(folder)
    try:
        json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        if (process := _dvc_in(folder)) is not None:
            command = shlex.join(process.cmdline())
            say(f"{name} is broken, and stays as long as process {process.pid} runs: {command}")
            return
        file.unlink(missing_ok=True)
        say(f"removed {name}, which an interrupted DVC had left broken")
    except OSError:
        return  # there is none


def _dvc_in(folder: Path) -> psutil.Process | None:
    """A DVC that runs there."""
    for process in psutil.process_iter():
        try:
            arguments = process.cmdline()
            is_dvc = any(Path(each).name == "dvc" for each in arguments[:2]) or arguments[1:3] == [
                "-m",
                "dvc",
            ]
            if is_dvc and Path(process.cwd()).is_relative_to(folder.resolve()):
                return process
        except psutil.Error:  # somebody else's, or gone meanwhile
            continue
    return None
