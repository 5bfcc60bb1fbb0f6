"""The commands that people type: python -m pipeline <command>.

Each is a module of the same name below `pipeline.commands`, which declares its arguments (`add_arguments`)
and carries it out (`run`). Only the module of the command that was typed is imported, so that `--help`
answers at once.
"""

import argparse
import inspect
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from pipeline.execution.failures import failures_explained
from pipeline.execution.process_setup import quiet_libraries, stop_in_good_order
from pipeline.foundation.workspace import Workspace
from pipeline.tracking.store import Store

_WINGS = {
    "reproducing": {
        "repro": "run what is not up to date, then show the models",
        "seeds": "run the pipeline under several seeds",
        "study": "compare settings under several seeds, with a page about them",
        "verify": "reproduce a revision elsewhere and compare every byte",
        "doctor": "check this machine and this checkout for what is missing or wrong",
    },
    "runs": {
        "summary": "show the models",
        "runs": "compare all runs in a table",
        "lineage": "show where a model comes from, or what a commit has made",
        "sync": "bring MLflow up to date",
        "ui": "look at the runs in the MLflow UI",
    },
    "registry": {
        "register": "register an evaluated model as challenger",
        "promote": "make the challenger champion if it passes all gates",
        "history": "list every decision about the champion",
        "rollback": "return to the previous champion",
    },
    "models": {
        "compare": "put two models side by side in a page",
        "explain": "show what a model looks at in images",
        "export": "turn a model into files for phones, servers and other runtimes",
        "predict": "say what an exported model sees in images",
        "serve": "serve an exported model to browsers and programs",
    },
}
"""Every command with its line in the help, by the folder that it lives in."""


class Command(Protocol):
    """What the module of a command has."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what it takes on the command line."""

    def run(self, workspace: Workspace, store: Store, options: argparse.Namespace) -> int | None:
        """Carry it out; returns the exit code, None for success."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code of the process."""
    typed = sys.argv[1:] if arguments is None else list(arguments)
    quiet_libraries()
    stop_in_good_order()
    with failures_explained(" ".join(typed[:1])):
        options = _parser(typed).parse_args(typed)
        workspace = Workspace.from_environment()
        with Store(workspace) as store:
            return options.run(workspace, store, options) or 0


def _parser(typed: Sequence[str]) -> argparse.ArgumentParser:
    """Knows the names of all commands, and the arguments of the one that was typed."""
    parser = argparse.ArgumentParser(prog="python -m pipeline", description="The commands of the pipeline.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for wing, texts in _WINGS.items():
        for name, text in texts.items():
            command = commands.add_parser(name, help=text)
            if name in typed[:1]:
                module = cast(Command, import_module(f"pipeline.commands.{wing}.{name}"))
                command.description = inspect.cleandoc(module.run.__doc__ or "")
                command.set_defaults(run=module.run)
                module.add_arguments(command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
