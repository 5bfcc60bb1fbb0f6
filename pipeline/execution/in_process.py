"""Stages in this process and in a place of their own: for notebooks, which leave the project as it is."""

import logging
import tempfile
from pathlib import Path
from types import ModuleType

from pipeline.execution import process_setup
from pipeline.foundation.tracker import SilentTracker
from pipeline.foundation.workspace import Workspace
from pipeline.params.whole import Params, select

_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []
"""Deleted when this process ends."""


def temporary_workspace() -> Workspace:
    """An empty workspace in a temporary folder, which is deleted when this process ends."""
    _FOLDERS.append(tempfile.TemporaryDirectory(prefix="workspace-"))
    folder = Path(_FOLDERS[-1].name)
    return Workspace(root=folder, home=folder)


def run_stages(workspace: Workspace, params: Params, *stages: ModuleType) -> None:
    """Run stages one after the other, without DVC and without recording anything in MLflow.

    Args:
      workspace: where they read and write.
      params: each stage gets the part of it that it declares.
      stages: modules with a Config and a run(), such as pipeline.fetch, in the order of the pipeline.
    """
    process_setup.limit_threads(params.threads)
    # Of graphs that are built anew, as they have to be where one process trains several networks.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    for stage in stages:
        print(f"{stage.__name__.rpartition('.')[2]}: started", flush=True)
        stage.run(workspace, select(params, stage.Config), SilentTracker())
