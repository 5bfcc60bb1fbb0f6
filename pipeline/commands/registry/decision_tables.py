"""Decisions about the champion as people see them in a terminal."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.commands.registry.contest import Contest
from pipeline.params.registry import RegistryParams
from pipeline.promotion.gates import Incomparable, Verdict, chance_of_luck
from pipeline.reporting.wording import accuracy_decimals, percent
from pipeline.scoring.predictions import Predictions
from pipeline.tracking import tags
from pipeline.tracking.registry.decisions import Decision, cancelled
from pipeline.tracking.registry.registry import Version

_WIDTH = 120
"""Columns; fixed, so that a table is the same in a terminal, a pipe and a log."""

_SHOWN_DIGITS = 12
_STYLES = {"passed": "", "failed": "bold", "not applicable": "dim"}


def print_gates(contest: Contest, verdict: Verdict, number: int, params: RegistryParams) -> None:
    """Print who stands against whom, every gate, and what the verdict is worth.

    `number` is that of the decision among those on this test subset.
    """
    console = Console(width=_WIDTH, highlight=False)
    champion = "none yet"
    if contest.champion is not None:
        champion = _named(contest.champion, contest.champion_predictions)
    console.print(f"challenger: {escape(_named(contest.challenger, contest.test))}")
    console.print(f"champion:   {escape(champion)}")
    console.print(f"on {len(contest.test):,} test images ({contest.test_digest[:_SHOWN_DIGITS]}…)")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("gate", "required", "found", "result"):
        table.add_column(title)
    for gate in verdict.gates:
        cells = (gate.name, gate.required, gate.found, gate.outcome)
        table.add_row(*map(escape, cells), style=_STYLES[gate.outcome])
    console.print(table)
    if contest.note:
        console.print(escape(contest.note))
    console.print(_worth(number, params))


def _named(version: Version, predictions: Predictions | Incomparable | None) -> str:
    name = f"version {version.number} ({version.tags.get(tags.CANDIDATE, 'not registered by the pipeline')})"
    if not isinstance(predictions, Predictions):
        return name
    return f"{name}, {percent(float(predictions.right.mean()), accuracy_decimals(len(predictions)))} right"


def _worth(number: int, params: RegistryParams) -> str:
    """What a verdict is worth after so many decisions on the same images."""
    chance = percent(chance_of_luck(number, params.alpha))
    text = (
        f"Decision {number} on this test subset. Had all {number} challengers been no better than what they "
        f"had to beat, at least one would have passed by luck with a probability of up to {chance}."
        if number > 1
        else "First decision on this test subset. A challenger that is no better than what it has to beat "
        f"passes by luck with a probability of at most {chance}."
    )
    weak = " [bold]The verdict is weak: new test images are needed.[/]" if number >= params.weak_after else ""
    return text + weak


def print_history(decisions: Sequence[Decision], warnings: Sequence[str]) -> None:
    """Print all decisions, oldest first, and where the aliases say something else."""
    console = Console(width=_WIDTH, highlight=False)
    void = cancelled(decisions)
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
