"""Decisions about the champion: what is kept of each, and what follows from all of them.

A decision is one tag of the registered model: a key that sorts by time and that nobody else can hit
upon, and a value in JSON. Tags are only ever added. So everyone who sees the registry sees the log, and
those who write at the same time cannot overwrite each other.
"""

import json
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.texts import one_line
from pipeline.tracking.provenance import user

Kind = Literal["promoted", "refused", "forced", "rolled back", "conflict"]

_PREFIX = "decision."
_LONGEST_VALUE = 5000  # VARCHAR(5000) in MLflow's database, counted in characters
_LONGEST_REASON = 1000
_LONGEST_NAME = 100


@dataclass(frozen=True)
class VersionName:
    """A model version: its number, and the digest of its model."""

    version: int
    model_digest: str


@dataclass(frozen=True)
class GateRecord:
    """One gate: what was required of the challenger, and what was found."""

    name: str
    outcome: str
    required: str
    figures: Mapping[str, float | int | str]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One entry of the log.

    Attributes:
      key: name of its tag; keys sort by time.
      kind: what was decided. A conflict is why another decision was not carried out.
      when: UTC, ISO 8601.
      who: user@host.
      reason: in the words of the person who decided.
      version: the challenger, or the version returned to.
      champion: what the alias pointed to before.
      gates: all of them, with their figures.
      test_digest: of the test subset that was looked at; empty where none was.
      test_images: its number of images.
      number: of the decision among those on this test subset, from 1; 0 where none was looked at.
      git_commit: HEAD where it was decided.
      cancels: of a conflict, key of the decision that was not carried out.
    """

    key: str
    kind: Kind
    when: str
    who: str
    reason: str
    version: VersionName
    champion: VersionName | None
    gates: tuple[GateRecord, ...] = ()
    test_digest: str = ""
    test_images: int = 0
    number: int = 0
    git_commit: str = ""
    cancels: str = ""

    @classmethod
    def made_now(
        cls,
        kind: Kind,
        version: VersionName,
        champion: VersionName | None,
        reason: str,
        git_commit: str,
        **figures: Any,
    ) -> "Decision":
        """A new entry, by this user; `figures` are the other attributes."""
        return cls(
            key=new_key(),
            kind=kind,
            when=now(),
            who=f"{user() or 'unknown'}@{socket.gethostname()}",
            reason=reason.strip(),
            version=version,
            champion=champion,
            git_commit=git_commit,
            **figures,
        )

    @property
    def failed(self) -> list[str]:
        """Names of the gates that refused."""
        return [gate.name for gate in self.gates if gate.outcome == "failed"]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_tag(self) -> str:
        """The value of its tag: compact JSON that fits, however long the texts in it are."""
        values = self.to_json()
        del values["key"]
        values["reason"] = one_line(self.reason, _LONGEST_REASON)
        values["who"] = one_line(self.who, _LONGEST_NAME)
        for gate in values["gates"]:
            gate["figures"] = {
                name: one_line(value, _LONGEST_NAME) if isinstance(value, str) else value
                for name, value in gate["figures"].items()
            }
        text = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
        assert len(text) <= _LONGEST_VALUE, len(text)
        return text

    @classmethod
    def from_tag(cls, key: str, text: str) -> "Decision":
        """Raises PipelineError where the tag is not a decision."""
        try:
            values = json.loads(text)
            values["gates"] = tuple(GateRecord(**gate) for gate in values["gates"])
            for name in ("version", "champion"):
                values[name] = VersionName(**values[name]) if values[name] else None
            return cls(key=key, **values)
        except (ValueError, KeyError, TypeError) as error:
            raise PipelineError(
                f"The registered model's tag {key} is not a decision: somebody has changed it.",
                found=one_line(text, _LONGEST_NAME),
                remedy="correct or delete that tag in MLflow, if you know what it was",
            ) from error


def new_key() -> str:
    """A name for a tag that sorts by time."""
    return f"{_PREFIX}{time.time_ns():020d}.{secrets.token_hex(4)}"


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_decisions(tags: Mapping[str, str]) -> list[Decision]:
    """All decisions among a registered model's tags, oldest first. Raises PipelineError."""
    return [Decision.from_tag(key, tags[key]) for key in sorted(tags) if key.startswith(_PREFIX)]


def canceled(decisions: Sequence[Decision]) -> set[str]:
    """Keys of the decisions that a conflict has kept from being carried out."""
    return {decision.cancels for decision in decisions if decision.kind == "conflict"}


def moves(decisions: Sequence[Decision]) -> list[Decision]:
    """The decisions that have moved the alias champion, oldest first."""
    void = canceled(decisions)
    return [
        decision
        for decision in decisions
        if decision.kind in ("promoted", "forced", "rolled back") and decision.key not in void
    ]


def decisions_on(decisions: Sequence[Decision], test_digest: str) -> int:
    """How many decisions have looked at a test subset; a conflict is part of the one that it cancels."""
    return sum(decision.test_digest == test_digest for decision in decisions if decision.kind != "conflict")


def champions(decisions: Sequence[Decision]) -> list[int]:
    """The versions that can be returned to, the present champion last, as far as the log knows."""
    versions: list[int] = []
    for decision in moves(decisions):
        number = decision.version.version
        if decision.champion is not None:
            versions = _up_to(versions, decision.champion.version)
        is_return = decision.kind == "rolled back"
        versions = _up_to(versions[:-1], number) if is_return else [*versions, number]
    return versions


def previous_champion(decisions: Sequence[Decision], champion: int | None) -> int | None:
    """The version that was champion before `champion`, the one that the alias points to now."""
    versions = champions(decisions)
    if champion is not None:
        versions = _up_to(versions, champion)[:-1]
    return versions[-1] if versions else None


def _up_to(versions: list[int], champion: int) -> list[int]:
    """The versions up to `champion`: those after it are left behind; one from outside comes on top.

    An alias that points elsewhere than the log says was moved by hand, or the last decision was
    killed before it was carried out.
    """
    for end in range(len(versions), 0, -1):
        if versions[end - 1] == champion:
            return versions[:end]
    return [*versions, champion]
