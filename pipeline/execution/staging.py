"""Keeps the outputs of a running stage apart until all of them are written.

So no output is ever half there, folders in which people keep files of their own are never replaced, and what
a killed stage has left is known: the next stage removes it.
"""

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.foundation.declarations import parse_declarations
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import atomic_path, disk_errors_explained, text_if_any
from pipeline.foundation.workspace import Workspace
from pipeline.processes.locks import held

_FORMER = re.compile(
    r"\.(raw|split|train|validation|test|baseline|transfer|tuned|predictions|explanations|plots|report)"
    r"\.[a-z0-9_]{8}"
)
_SHORT_WAIT_SECONDS = 1.0  # for one that removes what was left here
_WAIT_SECONDS = 30.0  # for a stage whose DVC was killed, which ends as soon as it notices


@contextmanager
def staged(workspace: Workspace, stage: str) -> Iterator[Workspace]:
    """The workspace in which the files that dvc.yaml lists as outputs of `stage` have their place elsewhere.

    `publish` moves them to where they belong. Only one process at a time writes the outputs of a stage.

    Raises:
      PipelineError: another process is writing them.
    """
    declared = parse_declarations(text_if_any(workspace.stages)).get(stage)
    folder = workspace.unfinished(stage)
    with disk_errors_explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
    waiting = f"{stage}: another process is still writing its outputs; waiting for it to end"
    too_long = f"Another process is writing the outputs of {stage}."
    with held(
        folder.with_suffix(".lock"),
        waiting,
        silent_seconds=_SHORT_WAIT_SECONDS,
        longest_seconds=_WAIT_SECONDS,
        too_long=too_long,
    ):
        _remove_leftovers_of_others(folder)
        _remove_leftovers_of_earlier_versions(workspace)
        shutil.rmtree(folder, ignore_errors=True)
        with disk_errors_explained(folder):
            folder.mkdir()
        try:
            outputs = frozenset(map(Path, declared.outputs)) if declared else frozenset[Path]()
            yield replace(workspace, staged=outputs, staging=folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def publish(workspace: Workspace) -> None:
    """Move the files of a workspace from `staged` to where they belong.

    Raises:
      PipelineError: a folder of somebody's has the name of one of them.
    """
    if workspace.staging is None:
        return
    moves = [(workspace.staging / path, workspace.root / path) for path in sorted(workspace.staged)]
    for _, target in moves:
        if target.is_dir() and not target.is_symlink():
            raise PipelineError(
                f"{target} is a folder, and a file of this name has to be written.",
                remedy="move the folder elsewhere and run the same command again",
            )
    for source, target in moves:
        with disk_errors_explained(target):
            _move(source, target)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # data/ or models/ is on another disk.
        with atomic_path(target) as copy:
            shutil.copyfile(source, copy)


def _remove_leftovers_of_others(own: Path) -> None:
    """Delete what other stages have left that were killed."""
    for folder in own.parent.iterdir():
        if folder.is_dir() and folder != own:
            with suppress(Timeout), FileLock(folder.with_suffix(".lock")).acquire(timeout=0):
                shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers_of_earlier_versions(workspace: Workspace) -> None:
    """Delete what a killed 0.1.0 has left beside its outputs: data/.raw.x2yi_k7a and the like."""
    for parent in ("data", "data/arrays", "models", "metrics"):
        for folder in (workspace.root / parent).glob(".*"):
            if _FORMER.fullmatch(folder.name) and folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)
