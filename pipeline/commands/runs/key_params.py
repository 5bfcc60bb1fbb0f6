"""Which params tell trainings apart, in few words."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.commands.runs.query import number_or_text
from pipeline.foundation.texts import shortened
from pipeline.tracking.runs.seed_groups import SEED

_LEADING = ("network", "backbone", "lr", "batch_size")
"""By the last part of their names: first of the params that differ; all there is to show where none does."""


@dataclass(frozen=True)
class KeyParams:
    """Params as `name=value`; `telling` where each of them tells something."""

    texts: tuple[str, ...]
    telling: bool

    @property
    def wanted(self) -> int:
        """Characters that it takes to show what is worth showing."""
        return len(" ".join(self.texts if self.telling else self.texts[:1]))

    def within(self, room: int) -> str:
        """As many as there is room for, at least one, and how many more tell something."""
        for shown in range(len(self.texts), 0, -1):
            rest = f" +{len(self.texts) - shown}" if self.telling and shown < len(self.texts) else ""
            text = " ".join(self.texts[:shown])
            if shown == 1:
                text = shortened(text, room - len(rest), cut="middle")
            if len(text + rest) <= room:
                return text + rest
        return ""


@dataclass(frozen=True)
class ComparedParams:
    """What a training was told, and what it was done with: a search replaces some params by what it found."""

    candidate: str
    declared: Mapping[str, str]
    params: Mapping[str, str]


def key_params(settings: Mapping[str, ComparedParams]) -> dict[str, KeyParams]:
    """By the same keys: the params that tell settings of one candidate apart, or else the usual ones.

    What people have varied stands before what a search has found.
    """
    by_candidate: dict[str, list[str]] = defaultdict(list)
    for key, setting in settings.items():
        by_candidate[setting.candidate].append(key)
    found = {}
    for keys in by_candidate.values():
        varied = _differing([settings[key].declared for key in keys])
        names = list(dict.fromkeys([*varied, *_differing([settings[key].params for key in keys])]))
        for key in keys:
            params = settings[key].params
            texts = (
                f"{_short_name(name, params)}={_short_value(params[name])}"
                for name in names or _usual(params)
                if name in params
            )
            found[key] = KeyParams(tuple(texts), telling=bool(names))
    return found


def _differing(params: Sequence[Mapping[str, str]]) -> list[str]:
    """Names of the params that have several values: what matters most comes first, the seed last."""
    values: dict[str, set[str]] = defaultdict(set)
    for each in params:
        for name, value in each.items():
            values[name].add(value)

    def rank(name: str) -> int:
        last = name.rpartition(".")[2]
        if name == SEED:
            return len(_LEADING) + 1
        return _LEADING.index(last) if last in _LEADING else len(_LEADING)

    return sorted((name for name in sorted(values) if len(values[name]) > 1), key=rank)


def _usual(params: Mapping[str, str]) -> list[str]:
    return [name for last in _LEADING for name in params if name == last or name.endswith(f".{last}")]


def _short_name(name: str, params: Mapping[str, str]) -> str:
    """The name without its section, unless another param ends alike."""
    last = name.rpartition(".")[2]
    alike = [each for each in params if each == last or each.endswith(f".{last}")]
    return last if alike == [name] else name


def _short_value(text: str) -> str:
    value = number_or_text(text)
    return f"{value:.4g}" if isinstance(value, float) else text.replace(" ", "")
