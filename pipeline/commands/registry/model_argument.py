"""The registered model that a command is about."""

import argparse

from pipeline.foundation.workspace import Workspace
from pipeline.params.whole import Params, load_params
from pipeline.tracking.registry.registry import Registry
from pipeline.tracking.store import Store


def add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--name", metavar="NAME", help="registered model (default: registry.model of params.yaml)"
    )


def registered_model(workspace: Workspace, store: Store, name: str | None) -> tuple[Params, Registry]:
    """The params, and the registered model of that name, or of params.yaml where there is none given.

    Raises PipelineError where the name cannot be one.
    """
    params = load_params(workspace.params, [] if name is None else [f"registry.model={name}"])
    return params, Registry(store, params.registry.model)
