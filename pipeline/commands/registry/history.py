"""`python -m pipeline history`: every decision about the champion."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.commands.registry.model_argument import add_name, registered_model
from pipeline.commands.runs.sync import bring_up_to_date
from pipeline.commands.terminal import WIDTH, say, say_aside
from pipeline.foundation.workspace import Workspace
from pipeline.tracking.registry.decisions import Decision, canceled, champions
from pipeline.tracking.registry.registry import CHAMPION, RegisteredModel, version_text
from pipeline.tracking.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    add_name(parser)


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> None:
    """Print every promotion, refusal and rollback: when, who, what, why."""
    bring_up_to_date(workspace, store, say_aside if options.json else say)
    show_history(workspace, store, options.name, as_json=options.json)


def show_history(workspace: Workspace, store: Store, name: str | None, as_json: bool) -> None:
    """Print every decision about a registered model, and where its aliases say something else.

    Raises PipelineError where no model of that name is registered.
    """
    _, registry = registered_model(workspace, store, name)
    model = registry.read()
    warnings = _warnings(model)
    if not as_json:
        _print_history(model.decisions, warnings)
        return
    void = canceled(model.decisions)
    values: dict[str, Any] = {
        "model": registry.name,
        "aliases": dict(model.aliases),
        "warnings": warnings,
        "decisions": [
            {**decision.to_json(), "carried_out": decision.key not in void} for decision in model.decisions
        ],
    }
    print(json.dumps(values, indent=2, ensure_ascii=False))


def _warnings(model: RegisteredModel) -> list[str]:
    """Where the alias is not what the log says."""
    recorded = champions(model.decisions)
    last = recorded[-1] if recorded else None
    champion = model.aliases.get(CHAMPION)
    if champion == last:
        return []
    return [
        f"the alias {CHAMPION} points to {version_text(champion)}, and by the log it should be "
        f"{version_text(last)}: somebody has moved it by hand, or a decision was interrupted before it was "
        "carried out"
    ]


def _print_history(decisions: Sequence[Decision], warnings: Sequence[str]) -> None:
    """Print all decisions, oldest first, and where the aliases say something else."""
    console = Console(width=WIDTH, highlight=False)
    void = canceled(decisions)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("when (UTC)", "who", "decision", "version", "champion", "refused by", "n-th", "reason"):
        table.add_column(title, justify="right" if title == "n-th" else "left")
    for decision in decisions:
        kind = f"{decision.kind}, not carried out" if decision.key in void else decision.kind
        cells = (
            decision.when[:16].replace("T", " "),
            decision.who,
            kind,
            str(decision.version.version),
            str(decision.champion.version) if decision.champion else "none",
            ", ".join(decision.failed),
            str(decision.number or ""),
            decision.reason,
        )
        table.add_row(*map(escape, cells), style="dim" if decision.key in void else None)
    if decisions:
        console.print(table)
        console.print("n-th: decision on the same test subset; champion: before the decision")
    else:
        console.print("No decision yet: python -m pipeline promote")
    for warning in warnings:
        console.print(f"[bold]warning:[/] {escape(warning)}")
