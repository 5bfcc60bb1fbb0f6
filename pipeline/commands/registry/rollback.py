"""`python -m pipeline rollback`: the champion before this one is champion again."""

import argparse

from pipeline.commands.registry.model_argument import add_name, registered_model
from pipeline.commands.runs.sync import bring_up_to_date
from pipeline.commands.terminal import say
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.processes.child_process import Say
from pipeline.repository.repository import Repository
from pipeline.tracking import tags
from pipeline.tracking.registry.decisions import Decision, previous_champion
from pipeline.tracking.registry.registry import version_text
from pipeline.tracking.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", metavar="TEXT", default="", help="kept in the history")
    add_name(parser)


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> None:
    """Make the previous champion champion again; kept in the history."""
    bring_up_to_date(workspace, store, say)
    rollback(workspace, store, options.name, options.reason, say)


def rollback(workspace: Workspace, store: Store, name: str | None, reason: str, say: Say) -> None:
    """Make the version champion again that was champion before; repeated, it goes further back.

    Args:
      workspace: the project.
      store: where the registered model is.
      name: of the registered model; registry.model of params.yaml where None.
      reason: kept in the log.
      say: is told what is being done.

    Raises:
      PipelineError: there was no earlier champion, it was deleted, or somebody else has made another
        version champion meanwhile.
    """
    _, registry = registered_model(workspace, store, name)
    with registry.alone(say):
        model = registry.read()
        champion = registry.champion(model)
        number = previous_champion(model.decisions, champion.number if champion else None)
        if number is None:
            raise PipelineError(
                f"There is no earlier champion of '{registry.name}' to return to.",
                remedy="'python -m pipeline history' shows all decisions; promote another version instead",
            )
        version = registry.version(number)
        before, head = champion.name if champion else None, Repository(workspace.root).head() or ""
        decision = Decision.made_now("rolled back", version.name, before, reason, head)
        registry.move_champion(model, decision)
        if champion is not None:
            registry.describe(champion, {tags.DECISION: decision.kind, tags.DECIDED: decision.when})
    say(f"version {number} is champion again, instead of {version_text(before.version if before else None)}")
