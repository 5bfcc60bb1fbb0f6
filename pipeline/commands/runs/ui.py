"""`python -m pipeline ui`: MLflow's web interface over the project's runs."""

import argparse

from pipeline.commands.runs.sync import bring_up_to_date
from pipeline.commands.terminal import say
from pipeline.foundation.workspace import Workspace
from pipeline.params.whole import load_params
from pipeline.tracking.store import Store
from pipeline.tracking.web.ui import serve_ui


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=5000, help="the first port to try (default: %(default)s)")


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> None:
    """Serve the MLflow UI on this machine until Ctrl-C, after bringing MLflow up to date."""
    bring_up_to_date(workspace, store, say)
    try:
        serve_ui(store, load_params(workspace.params).tracking.experiment, options.port, say)
    except KeyboardInterrupt:
        say("The MLflow UI has ended.")
