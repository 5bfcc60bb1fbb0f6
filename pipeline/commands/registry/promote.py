"""`python -m pipeline promote`: whether the challenger becomes champion, and why."""

import argparse
import json
from dataclasses import dataclass, replace

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.commands.registry.model_argument import add_name, registered_model
from pipeline.commands.registry.reevaluation import predict_test_subset_of
from pipeline.commands.runs.sync import bring_up_to_date
from pipeline.commands.terminal import WIDTH, say
from pipeline.foundation.errors import EXIT_REFUSED, PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.params.registry import RegistryParams
from pipeline.processes.child_process import Say
from pipeline.promotion.gates import Challenger, Incomparable, Verdict, chance_of_luck, decide
from pipeline.reporting.wording import accuracy_decimals, percent
from pipeline.repository.repository import Repository
from pipeline.scoring.predictions import Predictions
from pipeline.tracking import tags
from pipeline.tracking.registry.decisions import Decision, GateRecord, decisions_on
from pipeline.tracking.registry.registry import (
    CHALLENGER,
    Evidence,
    RegisteredModel,
    Registry,
    Version,
    version_text,
)
from pipeline.tracking.store import Store

_SHOWN_DIGITS = 12
_STYLES = {"passed": "", "failed": "bold", "not applicable": "dim"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="promote although gates refuse; needs --reason")
    parser.add_argument("--reason", metavar="TEXT", default="", help="kept in the history")
    add_name(parser)


def run(workspace: Workspace, store: Store, options: argparse.Namespace) -> int:
    """Decide whether the challenger becomes champion, by the gates in params.yaml (section registry).

    Exit code 0 when it does, 3 when a gate refuses. Every decision is kept in the history.
    """
    if options.force and not options.reason.strip():
        raise PipelineError("--force needs a reason.", remedy="add --reason 'why the gates do not count'")
    bring_up_to_date(workspace, store, say)
    return promote(workspace, store, options.name, options.force, options.reason, say)


@dataclass(frozen=True)
class Contest:
    """All that a decision is made from.

    Attributes:
      challenger: the version that wants to become champion.
      evidence: its predictions, and those of the references.
      champion: the version that the alias points to; None where there is none yet.
      champion_predictions: of the challenger's test subset.
      note: what to know of how these were made; empty where nothing is special.
    """

    challenger: Version
    evidence: Evidence
    champion: Version | None
    champion_predictions: Predictions | Incomparable | None = None
    note: str = ""

    @property
    def test(self) -> Predictions:
        """The challenger's predictions of its test subset."""
        return self.evidence.predictions["test"]

    @property
    def test_digest(self) -> str:
        return self.challenger.tags[tags.TEST_DIGEST]


def promote(workspace: Workspace, store: Store, name: str | None, force: bool, reason: str, say: Say) -> int:
    """Decide on the challenger: it becomes champion if all gates pass, or if that is forced.

    Args:
      workspace: the project.
      store: where the registered model is.
      name: of the registered model; registry.model of params.yaml where None.
      force: make it champion also where gates refuse.
      reason: kept in the log.
      say: is told what is being done.

    Returns:
      0, or EXIT_REFUSED where a gate has refused.

    Raises:
      PipelineError: there is no challenger, or it is champion already; the champion cannot be compared
        with it; or somebody else has made another version champion meanwhile.
    """
    params, registry = registered_model(workspace, store, name)
    with registry.alone(say):
        model = registry.read()
        challenger, champion = _challenger(registry, model), registry.champion(model)
        if champion is not None and champion.number == challenger.number:
            registry.remove_alias(CHALLENGER)
            raise PipelineError(
                f"Version {champion.number} is the champion already; there is nothing to decide.",
                remedy="register another model: python -m pipeline register",
            )
        contest = Contest(challenger, registry.evidence(challenger), champion)
        contest = _with_champion_predictions(workspace, registry, contest, params.threads, force, say)
        verdict = decide(
            _as_judged(contest),
            contest.champion_predictions,
            contest.evidence.references,
            params.registry,
            params.evaluate,
            params.seed,
        )
        decision = _decision(workspace, model, contest, verdict, force, reason)
        _print_gates(contest, verdict, decision.number, params.registry)
        if decision.kind == "refused":
            registry.record(decision)
        else:
            registry.move_champion(model, decision)
            _stop_challenging(registry, challenger)
        registry.describe(challenger, {tags.DECISION: decision.kind, tags.DECIDED: decision.when})
    say(_outcome(decision))
    return EXIT_REFUSED if decision.kind == "refused" else 0


def _challenger(registry: Registry, model: RegisteredModel) -> Version:
    number = model.aliases.get(CHALLENGER)
    if number is None:
        raise PipelineError(
            f"There is no challenger for '{registry.name}'.",
            expected=f"a version with the alias {CHALLENGER}",
            remedy="register one: python -m pipeline register",
        )
    return registry.version(number)


def _with_champion_predictions(
    workspace: Workspace, registry: Registry, contest: Contest, threads: int, force: bool, say: Say
) -> Contest:
    """Get what is stored of the champion, or else evaluate it on the challenger's test subset.

    `threads` are TensorFlow's; with `force` a champion that cannot be evaluated is not an obstacle.

    Raises PipelineError where something is missing; the message says what and where to find it.
    """
    challenger, champion = contest.challenger, contest.champion
    if champion is None:
        return contest
    try:
        if _is_comparable(challenger, champion):
            return replace(contest, champion_predictions=registry.evidence(champion).predictions["test"])
        found = predict_test_subset_of(workspace, registry, challenger, champion, contest.test, threads, say)
        return replace(contest, champion_predictions=found, note=_note(challenger, champion))
    except PipelineError as error:
        if not force:
            raise
        return replace(contest, champion_predictions=Incomparable(f"not compared: {error.what}"))


def _is_comparable(challenger: Version, champion: Version) -> bool:
    """Whether what is stored of both is about the same images and classes."""
    same = (tags.TEST_DIGEST, tags.CLASSES)
    return tags.REGISTRATION in champion.tags and all(
        champion.tags.get(name) == challenger.tags.get(name) for name in same
    )


def _note(challenger: Version, champion: Version) -> str:
    note = f"Version {champion.number} was evaluated anew, on the challenger's test subset."
    if champion.tags.get(tags.DATA_DIGEST) == challenger.tags.get(tags.DATA_DIGEST):
        return note
    return (
        f"{note} It was trained on other data than the challenger and may have seen some of these images: "
        "that favors the champion, so a promotion can be trusted, and a refusal may be due to it."
    )


def _as_judged(contest: Contest) -> Challenger:
    """The challenger as `decide` wants it."""
    values = contest.challenger.tags
    return Challenger(
        predictions=contest.test,
        classes=tuple(json.loads(values[tags.CLASSES])),
        size_bytes=int(values[tags.SIZE_BYTES]),
        latency_ms=float(values[tags.LATENCY_MS]),
    )


def _decision(
    workspace: Workspace,
    model: RegisteredModel,
    contest: Contest,
    verdict: Verdict,
    force: bool,
    reason: str,
) -> Decision:
    return Decision.made_now(
        "promoted" if verdict.accepted else "forced" if force else "refused",
        contest.challenger.name,
        contest.champion.name if contest.champion else None,
        reason,
        Repository(workspace.root).head() or "",
        gates=tuple(
            GateRecord(gate.name, gate.outcome, gate.required, gate.figures) for gate in verdict.gates
        ),
        test_digest=contest.test_digest,
        test_images=len(contest.test),
        number=decisions_on(model.decisions, contest.test_digest) + 1,
    )


def _stop_challenging(registry: Registry, challenger: Version) -> None:
    """Take the alias from a version, unless another one has it by now."""
    if registry.read().aliases.get(CHALLENGER) == challenger.number:
        registry.remove_alias(CHALLENGER)


def _outcome(decision: Decision) -> str:
    number, champion = decision.version.version, decision.champion
    before = version_text(champion.version if champion else None)
    if decision.kind == "refused":
        return f"refused by {', '.join(decision.failed)}; {before} stays champion"
    if decision.kind == "forced":
        return f"version {number} is champion, although refused by {', '.join(decision.failed)}"
    return f"version {number} is champion{f', instead of {before}' if champion else ''}"


def _print_gates(contest: Contest, verdict: Verdict, number: int, params: RegistryParams) -> None:
    """Print who stands against whom, every gate, and what the verdict is worth.

    `number` is that of the decision among those on this test subset.
    """
    console = Console(width=WIDTH, highlight=False)
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
