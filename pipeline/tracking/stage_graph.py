"""What decides a stage's result, from dvc.yaml: its params and code, and those of the stages before it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError

_CODE = "pipeline"


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
        return any(_is_within(path, part) for part in self.code)


def read_stage_graph(dvc_yaml: Path) -> dict[str, Decisive]:
    """What decides each stage's result, by stage; empty where the file cannot be read."""
    try:
        stages = YAML(typ="safe").load(dvc_yaml.read_text(encoding="utf-8"))["stages"]
        before = {name: _directly_before(stages, name) for name in stages}
        return {name: _decisive([stages[each] for each in _chain(before, name)]) for name in stages}
    except (OSError, UnicodeDecodeError, YAMLError, TypeError, KeyError, AttributeError):
        return {}


def _decisive(stages: Sequence[Mapping[str, Any]]) -> Decisive:
    dependencies = [path for stage in stages for path in stage.get("deps") or []]
    return Decisive(
        params=_sorted(key for stage in stages for key in stage.get("params") or []),
        code=_sorted(path for path in dependencies if _is_within(path, _CODE)),
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


def _directly_before(stages: Mapping[str, Any], name: str) -> set[str]:
    """The stages whose outputs a stage reads."""
    dependencies = stages[name].get("deps") or []
    return {
        other
        for other, stage in stages.items()
        for output in _outputs(stage)
        if other != name
        and any(_is_within(path, output) or _is_within(output, path) for path in dependencies)
    }


def _outputs(stage: Mapping[str, Any]) -> list[str]:
    entries = [*(stage.get("outs") or []), *(stage.get("metrics") or [])]
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def _is_within(path: str, folder: str) -> bool:
    """Whether a path is another one or below it; both as dvc.yaml has them, with slashes."""
    return path == folder or path.startswith(f"{folder}/")


def _sorted(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))
