"""Runs DVC for `python -m pipeline repro` and sees what DVC cannot: that the source of the images changed."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from pipeline.foundation.files import read_json
from pipeline.foundation.params import load_params
from pipeline.foundation.workspace import Workspace
from pipeline.images.fingerprint import local_fingerprint


def reproduce(workspace: Workspace, overrides: Sequence[str], say: Callable[[str], None]) -> int:
    """Bring all outputs up to date; returns the exit code of the DVC command that failed, or 0.

    Args:
      workspace: the project.
      overrides: `key=value` pairs for `dvc exp run -S`; with none it is `dvc repro`.
      say: is told what is run and why.

    Raises:
      PipelineError: an override does not fit; nothing has been changed then.
    """
    # DVC would write a wrong value into params.yaml before a stage could refuse it.
    load_params(workspace.params, overrides)
    code = _force_fetch_if_changed(workspace, say) if not _touch_fetch(overrides) else 0
    if code:
        return code
    if overrides:
        settings = [part for override in overrides for part in ("-S", override)]
        code = _run_dvc(workspace, ["exp", "run", *settings], say)
        if code:
            say("params.yaml keeps these settings; 'git checkout params.yaml' brings the committed ones back")
    else:
        code = _run_dvc(workspace, ["repro"], say)
    if code:
        return code
    # Params that DVC has seen before bring back from its cache what fetch imported then.
    if changed_location(workspace) is None:
        return 0
    return _force_fetch_if_changed(workspace, say) or _run_dvc(workspace, ["repro"], say)


def changed_location(workspace: Workspace) -> Path | None:
    """The local fetch.location if its content differs from what data/raw was imported from, else None.

    None too where nothing was imported yet or params.yaml names another source than data/raw has:
    DVC sees those cases by itself.
    """
    source = workspace.raw / "source.json"
    if not source.exists():
        return None
    imported, params = read_json(source), load_params(workspace.params).fetch
    if params.location is None or "://" in params.location:
        return None
    if (imported["dataset"], imported["location"]) != (params.dataset, params.location):
        return None
    path = workspace.resolve_location(params.location)
    if not path.exists() or local_fingerprint(path) == imported["fingerprint"]:
        return None  # a location that is gone leaves what was imported valid
    return path


def _touch_fetch(overrides: Sequence[str]) -> bool:
    return any(override.lstrip("+~").startswith("fetch.") for override in overrides)


def _force_fetch_if_changed(workspace: Workspace, say: Callable[[str], None]) -> int:
    path = changed_location(workspace)
    if path is None:
        return 0
    say(f"{path} has changed since its images were imported: importing them again")
    return _run_dvc(workspace, ["repro", "--single-item", "--force", "fetch"], say)


def _run_dvc(workspace: Workspace, arguments: Sequence[str], say: Callable[[str], None]) -> int:
    """Run DVC with its output live, and return its exit code."""
    say("$ " + shlex.join(["dvc", *arguments]))
    # The stages' `python` shall be this one, also where its environment was not activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    child = subprocess.Popen(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=workspace.root,
        env={**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "true"},
    )
    # Ctrl-C reaches DVC and the stage from the terminal, and they end by themselves; killing DVC here
    # would leave the stage running and DVC's lock behind. SIGTERM reaches us alone and is passed on.
    handlers = {signal.SIGINT: _ignore, signal.SIGTERM: lambda *_: _terminate_stages(child.pid)}
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        return child.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _ignore(*_: object) -> None: ...


def _terminate_stages(dvc: int) -> None:
    """End the stage that this DVC process runs; DVC then ends by itself."""
    for process in psutil.Process(dvc).children(recursive=True):
        process.terminate()
