"""The commands that people type: python -m pipeline <command>.

Each function parses nothing and computes nothing: it calls a floor and prints. What is slow to
import is imported where it is used, so that `--help` answers at once.
"""

import argparse
import sys

from pipeline.execution.failures import failures_explained
from pipeline.execution.process import quiet_libraries, stop_in_good_order
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.params import load_params
from pipeline.foundation.workspace import Workspace


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code of the process."""
    options = _parser().parse_args(arguments)
    quiet_libraries()
    stop_in_good_order()
    with failures_explained(options.command):
        return options.run(Workspace.from_environment(), options) or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline", description="The commands of the pipeline.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    repro = commands.add_parser(
        "repro", help="run what is not up to date, then show the models", description=_repro.__doc__
    )
    repro.add_argument(
        "-S",
        "--set-param",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="another value for a key of params.yaml, as an experiment; may be repeated",
    )
    repro.set_defaults(run=_repro)

    summary = commands.add_parser("summary", help="show the models", description=_summary.__doc__)
    summary.set_defaults(run=_summary)

    sync = commands.add_parser("sync", help="bring MLflow up to date", description=_sync.__doc__)
    sync.set_defaults(run=_sync)

    ui = commands.add_parser("ui", help="look at the runs in the MLflow UI", description=_ui.__doc__)
    ui.add_argument("--port", type=int, default=5000, help="the first port to try (%(default)s)")
    ui.set_defaults(run=_ui)
    return parser


def _repro(workspace: Workspace, options: argparse.Namespace) -> int:
    """Run the stages whose params, code or inputs have changed; then sync MLflow and show the models."""
    from pipeline.execution.reproduction import reproduce
    from pipeline.execution.summary import print_summary

    code = reproduce(workspace, options.overrides, _say)
    _synchronize(workspace)
    if code == 0:
        print_summary(workspace)
    return code


def _summary(workspace: Workspace, options: argparse.Namespace) -> None:
    """Show the scores of all models, which one is best, and where the report is."""
    from pipeline.execution.summary import print_summary

    print_summary(workspace)


def _sync(workspace: Workspace, options: argparse.Namespace) -> None:
    """Deliver to MLflow what waits in the journal, and end the runs of processes that are gone."""
    unreachable = _synchronize(workspace)
    if unreachable:
        raise PipelineError(
            f"MLflow does not have everything yet: {unreachable}.",
            remedy="start the server, or unset MLFLOW_TRACKING_URI to use mlflow.db; then sync again",
        )


def _ui(workspace: Workspace, options: argparse.Namespace) -> None:
    """Serve the MLflow UI on this machine until Ctrl-C, after bringing MLflow up to date."""
    from pipeline.tracking.ui import serve_ui

    _synchronize(workspace)
    try:
        serve_ui(workspace, load_params(workspace.params).tracking.experiment, options.port, _say)
    except KeyboardInterrupt:
        _say("The MLflow UI has ended.")


def _synchronize(workspace: Workspace) -> str:
    """Sync MLflow and say what that did; returns why MLflow could not be reached, or nothing."""
    from pipeline.tracking.sync import synchronize

    done = synchronize(workspace, load_params(workspace.params).tracking.experiment, _say)
    for line in done.lines():
        _say(line)
    return done.unreachable


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
