"""Runs DVC for `python -m pipeline repro` and sees what DVC cannot: that the source of the images changed."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands.reproducing.dvc_process import dvc_environment, run_dvc
from pipeline.commands.runs.summary import print_summary
from pipeline.commands.runs.sync import bring_up_to_date
from pipeline.commands.terminal import say
from pipeline.foundation.files import read_json
from pipeline.foundation.workspace import Workspace
from pipeline.params.whole import load_params, quoted
from pipeline.processes.child_process import Say
from pipeline.sources.datasets import CIFAR10
from pipeline.sources.fingerprint import local_fingerprint
from pipeline.tracking.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-S",
        "--set-param",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="another value for a key of params.yaml, as an experiment; may be repeated",
    )
    parser.add_argument(
        "--location",
        metavar="PATH",
        help="another fetch.location, as it is: nothing in it has to be quoted for DVC; with "
        "fetch.dataset=cifar10 anything but the official archive is read as a folder of images",
    )


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Run the stages whose params, code or inputs have changed; then sync MLflow and show the models."""
    overrides = options.overrides
    if options.location is not None:
        overrides = [*overrides, *located(options.location, overrides, workspace)]
    code = reproduce(workspace, overrides, say)
    bring_up_to_date(workspace, store, say)
    if code == 0:
        print_summary(workspace)
    return code


def reproduce(workspace: Workspace, overrides: Sequence[str], say: Say) -> int:
    """Bring all outputs up to date; returns the exit code of the DVC command that failed, or 0.

    Args:
      workspace: the project.
      overrides: `key=value` pairs for `dvc exp run -S`; with none it is `dvc repro`.
      say: is told what is run and why.

    Raises:
      PipelineError: an override does not fit; nothing has been changed then.
      KeyboardInterrupt, Terminated: it was stopped so, after the stage had ended by itself.
    """
    # DVC would write a wrong value into params.yaml before a stage could refuse it.
    load_params(workspace.params, overrides)
    code = 0 if _touch_fetch(overrides) else _force_fetch_if_changed(workspace, say)
    if code == 0:
        code = _run_experiment(workspace, overrides, say) if overrides else _run(workspace, ["repro"], say)
    # Params that DVC has seen before bring back from its cache what fetch imported then.
    if code or changed_location(workspace) is None:
        return code
    return _force_fetch_if_changed(workspace, say) or _run(workspace, ["repro"], say)


def located(location: str, overrides: Sequence[str], workspace: Workspace) -> list[str]:
    """The settings for a location that is to be read besides those that are given already."""
    settings = [f"fetch.location={quoted(location)}"]
    if "fetch.dataset=cifar10" in overrides and not is_official_cifar10(location, workspace):
        settings.append("fetch.dataset=folder")
    return settings


def is_official_cifar10(location: str, workspace: Workspace) -> bool:
    """Whether a location is read as the official archive of CIFAR-10; else as a folder of images."""
    name = CIFAR10.archive.name
    path = workspace.resolve_location(location)
    return "://" in location or path.name == name or (path / name).is_file()


def changed_location(workspace: Workspace) -> Path | None:
    """The local fetch.location if its content differs from what data/fetched was imported from, else None.

    None too where nothing was imported yet or params.yaml names another source than data/fetched has:
    DVC sees those cases by itself.
    """
    source = workspace.source
    if not source.exists():
        return None
    imported, params = read_json(source), load_params(workspace.params).fetch
    if params.location is None or "://" in params.location:
        return None
    if (imported["dataset"], imported["location"]) != (params.dataset, params.location):
        return None
    path = workspace.resolve_location(params.location)
    if not path.exists() or local_fingerprint(path, params.limits) == imported["fingerprint"]:
        return None  # a location that is gone leaves what was imported valid
    return path


def _run_experiment(workspace: Workspace, overrides: Sequence[str], say: Say) -> int:
    settings = [part for override in overrides for part in ("-S", override)]
    code = -1
    try:
        code = _run(workspace, ["exp", "run", *settings], say)
    finally:  # Ctrl-C, too, leaves them behind
        if code:
            say("params.yaml keeps these settings; 'git checkout params.yaml' restores the committed ones")
    return code


def _touch_fetch(overrides: Sequence[str]) -> bool:
    return any(override.lstrip("+~").startswith("fetch.") for override in overrides)


def _force_fetch_if_changed(workspace: Workspace, say: Say) -> int:
    path = changed_location(workspace)
    if path is None:
        return 0
    say(f"{path} has changed since its images were imported: importing them again")
    return _run(workspace, ["repro", "--single-item", "--force", "fetch"], say)


def _run(workspace: Workspace, arguments: Sequence[str], say: Say) -> int:
    return run_dvc(workspace.root, arguments, dvc_environment(), say)
