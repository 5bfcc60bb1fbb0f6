"""What decides a stage's result, from dvc.yaml: its params and code, and those of the stages before it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.foundation.declarations import Declaration, is_within, parse_declarations


@dataclass(frozen=True)
class Decisive:
    """What a stage's result depends on.

    Attributes:
      params: keys of params.yaml, whole sections among them.
      code: files and folders below pipeline/.
    """

    params: tuple[str, ...]
    code: tuple[str, ...]

    def holds_param(self, name: str) -> bool:
        """Whether a param, named with its section, is one of these."""
        return any(name == key or name.startswith(f"{key}.") for key in self.params)

    def holds_code(self, path: str) -> bool:
        return any(is_within(path, part) for part in self.code)


def read_stage_graph(dvc_yaml: Path) -> dict[str, Decisive]:
    """What decides each stage's result, by stage; empty where the file cannot be read."""
    try:
        stages = parse_declarations(dvc_yaml.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return {}
    before = {name: _directly_before(stages, name) for name in stages}
    return {name: _decisive([stages[each] for each in _chain(before, name)]) for name in stages}


def _decisive(stages: Sequence[Declaration]) -> Decisive:
    return Decisive(
        params=_sorted(key for stage in stages for key in stage.params),
        code=_sorted(path for stage in stages for path in stage.code),
    )


def _chain(before: Mapping[str, Iterable[str]], name: str) -> set[str]:
    """A stage and all that stand before it, directly or not."""
    found, waiting = set[str](), [name]
    while waiting:
        stage = waiting.pop()
        if stage not in found:
            found.add(stage)
            waiting.extend(before[stage])
    return found


def _directly_before(stages: Mapping[str, Declaration], name: str) -> set[str]:
    """The stages whose outputs a stage reads."""
    return {
        other
        for other, stage in stages.items()
        for output in stage.outputs
        if other != name
        and any(is_within(path, output) or is_within(output, path) for path in stages[name].dependencies)
    }


def _sorted(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))
