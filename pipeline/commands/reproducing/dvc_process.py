"""DVC as a process whose output is seen live and that ends in good order."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from pipeline.execution.process_setup import Terminated
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
