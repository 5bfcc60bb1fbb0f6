"""`python -m pipeline promote`, `history` and `rollback`: which version is champion, and why.

A decision is written to the log before the alias moves, and the alias is moved only if nobody else
has decided or moved it meanwhile. On one machine a lock sees to that. Between machines everybody
writes first and reads then, so that of two who decide at once at least one sees the other and gives
way; what somebody does by hand in between is found when the alias is read back.
"""

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pipeline.commands.registry.contest import Contest, make_contest
from pipeline.commands.registry.decision_tables import print_gates, print_history
from pipeline.commands.registry.register import registered_model
from pipeline.foundation.errors import EXIT_REFUSED, PipelineError
from pipeline.foundation.workspace import Workspace
from pipeline.promotion.gates import Verdict, decide
from pipeline.repository.repository import Repository
from pipeline.tracking import tags
from pipeline.tracking.provenance import user
from pipeline.tracking.registry.decisions import (
    Decision,
    GateRecord,
    Kind,
    VersionName,
    cancelled,
    champions,
    decisions_on,
    moves,
    new_key,
    now,
    previous_champion,
)
from pipeline.tracking.registry.registry import CHALLENGER, CHAMPION, RegisteredModel, Registry, Version
from pipeline.tracking.store import Store

Say = Callable[[str], None]


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
        challenger, champion = _challenger(registry, model), _champion(registry, model)
        if champion is not None and champion.number == challenger.number:
            registry.remove_alias(CHALLENGER)
            raise PipelineError(
                f"Version {champion.number} is the champion already; there is nothing to decide.",
                remedy="register another model: python -m pipeline register",
            )
        contest = make_contest(workspace, registry, challenger, champion, params.threads, force, say)
        verdict = decide(
            contest.contestant,
            contest.champion_predictions,
            contest.evidence.references,
            params.registry,
            params.evaluate,
            params.seed,
        )
        decision = _decision(workspace, model, contest, verdict, force, reason)
        print_gates(contest, verdict, decision.number, params.registry)
        if decision.kind == "refused":
            registry.record(decision)
        else:
            _move_champion(registry, model, decision)
            _stop_challenging(registry, challenger)
        registry.describe(challenger, {tags.DECISION: decision.kind, tags.DECIDED: decision.when})
    say(_outcome(decision))
    return EXIT_REFUSED if decision.kind == "refused" else 0


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
        champion = _champion(registry, model)
        number = previous_champion(model.decisions, champion.number if champion else None)
        if number is None:
            raise PipelineError(
                f"There is no earlier champion of '{registry.name}' to return to.",
                remedy="'python -m pipeline history' shows all decisions; promote another version instead",
            )
        version = registry.version(number)
        decision = _entry(workspace, "rolled back", version, champion, reason)
        _move_champion(registry, model, decision)
        if champion is not None:
            registry.describe(champion, {tags.DECISION: decision.kind, tags.DECIDED: decision.when})
    say(_outcome(decision))


def show_history(workspace: Workspace, store: Store, name: str | None, as_json: bool) -> None:
    """Print every decision about a registered model, and where its aliases say something else.

    Raises PipelineError where no model of that name is registered.
    """
    _, registry = registered_model(workspace, store, name)
    model = registry.read()
    warnings = _warnings(model)
    if not as_json:
        print_history(model.decisions, warnings)
        return
    void = cancelled(model.decisions)
    values: dict[str, Any] = {
        "model": registry.name,
        "aliases": dict(model.aliases),
        "warnings": warnings,
        "decisions": [
            {**decision.to_json(), "carried_out": decision.key not in void} for decision in model.decisions
        ],
    }
    print(json.dumps(values, indent=2, ensure_ascii=False))


def _challenger(registry: Registry, model: RegisteredModel) -> Version:
    number = model.aliases.get(CHALLENGER)
    if number is None:
        raise PipelineError(
            f"There is no challenger for '{registry.name}'.",
            expected=f"a version with the alias {CHALLENGER}",
            remedy="register one: python -m pipeline register",
        )
    return registry.version(number)


def _champion(registry: Registry, model: RegisteredModel) -> Version | None:
    number = model.aliases.get(CHAMPION)
    return None if number is None else registry.version(number)


def _decision(
    workspace: Workspace,
    model: RegisteredModel,
    contest: Contest,
    verdict: Verdict,
    force: bool,
    reason: str,
) -> Decision:
    kind: Kind = "promoted" if verdict.accepted else "forced" if force else "refused"
    return replace(
        _entry(workspace, kind, contest.challenger, contest.champion, reason),
        gates=tuple(
            GateRecord(gate.name, gate.outcome, gate.required, gate.figures) for gate in verdict.gates
        ),
        test_digest=contest.test_digest,
        test_images=len(contest.test),
        number=decisions_on(model.decisions, contest.test_digest) + 1,
    )


def _entry(
    workspace: Workspace, kind: Kind, version: Version, champion: Version | None, reason: str
) -> Decision:
    """A new entry of the log, by this user, now."""
    return Decision(
        key=new_key(),
        kind=kind,
        when=now(),
        who=f"{user() or 'unknown'}@{socket.gethostname()}",
        reason=reason.strip(),
        version=VersionName(version.number, version.model_digest),
        champion=VersionName(champion.number, champion.model_digest) if champion else None,
        git_commit=Repository(workspace.root).head() or "",
    )


def _move_champion(registry: Registry, before: RegisteredModel, decision: Decision) -> None:
    """Write a decision to the log and carry it out. Raises PipelineError where somebody was faster.

    `before` is what the decision was made from.
    """
    registry.record(decision)
    conflict = _conflict(before, registry.read(), decision)
    if not conflict:
        registry.set_alias(CHAMPION, decision.version.version)
        now_champion = registry.read().aliases.get(CHAMPION)
        if now_champion != decision.version.version:
            conflict = f"somebody has made {_named(now_champion)} champion at the same moment"
    if conflict:
        registry.record(
            replace(decision, key=new_key(), kind="conflict", reason=conflict, gates=(), cancels=decision.key)
        )
        raise PipelineError(
            f"Version {decision.version.version} was not made champion: {conflict}.",
            expected=f"{_named(before.aliases.get(CHAMPION))}, as when the decision began",
            remedy="look at 'python -m pipeline history', and decide again if it is still wanted",
        )


def _conflict(before: RegisteredModel, after: RegisteredModel, decision: Decision) -> str:
    """What somebody else has done since `before` that this decision does not know of; empty if nothing."""
    if decision.key not in {each.key for each in after.decisions}:
        return "the log does not hold the decision that was just written"
    known = {each.key for each in before.decisions} | {decision.key}
    others = [each for each in moves(after.decisions) if each.key not in known]
    if others:
        return f"{others[0].who} has decided on version {others[0].version.version} meanwhile"
    champion = after.aliases.get(CHAMPION)
    if champion != before.aliases.get(CHAMPION):
        return f"somebody has made {_named(champion)} champion meanwhile"
    return ""


def _stop_challenging(registry: Registry, challenger: Version) -> None:
    """Take the alias from a version, unless another one has it by now."""
    if registry.read().aliases.get(CHALLENGER) == challenger.number:
        registry.remove_alias(CHALLENGER)


def _named(number: int | None) -> str:
    return "no version" if number is None else f"version {number}"


def _outcome(decision: Decision) -> str:
    number, champion = decision.version.version, decision.champion
    before = _named(champion.version if champion else None)
    if decision.kind == "refused":
        return f"refused by {', '.join(decision.failed)}; {before} stays champion"
    if decision.kind == "forced":
        return f"version {number} is champion, although refused by {', '.join(decision.failed)}"
    if decision.kind == "rolled back":
        return f"version {number} is champion again, instead of {before}"
    return f"version {number} is champion{f', instead of {before}' if champion else ''}"


def _warnings(model: RegisteredModel) -> list[str]:
    """Where the alias is not what the log says."""
    recorded = champions(model.decisions)
    last = recorded[-1] if recorded else None
    champion = model.aliases.get(CHAMPION)
    if champion == last:
        return []
    return [
        f"the alias {CHAMPION} points to {_named(champion)}, and by the log it should be {_named(last)}: "
        "somebody has moved it by hand, or a decision was interrupted before it was carried out"
    ]
