"""dvc.yaml as values: what each stage says that it reads and writes.

This is the one list of what decides a stage's result: DVC reruns by it, and checkpoints, groups of seeds
and the watch over a running stage follow it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

_CODE = "pipeline"


@dataclass(frozen=True)
class Declaration:
    """What dvc.yaml says of one stage.

    Attributes:
      params: keys of params.yaml.
      dependencies: files and folders, with slashes, from the project's folder.
      outputs: the same of what it writes, metrics included.
    """

    params: tuple[str, ...]
    dependencies: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def code(self) -> tuple[str, ...]:
        """The dependencies below pipeline/."""
        return tuple(path for path in self.dependencies if is_within(path, _CODE))


def parse_declarations(text: str) -> dict[str, Declaration]:
    """The stages of a dvc.yaml by name, in its order; what cannot be read counts as empty."""
    stages = parse_values(text).get("stages")
    entries = stages.items() if isinstance(stages, dict) else []
    return {name: _declaration(entry) for name, entry in entries if isinstance(entry, dict)}


def parse_values(text: str) -> dict[str, Any]:
    """A YAML file's values as JSON knows them, unchecked; what cannot be read counts as empty."""
    try:
        values = YAML(typ="safe").load(text)
    except YAMLError:
        return {}
    # Dates would become text, keys that are numbers too: what comes from another commit may hold anything.
    plain: dict[str, Any] = json.loads(json.dumps(values, default=str)) if isinstance(values, dict) else {}
    return plain


def is_within(path: str, folder: str) -> bool:
    """Whether a path is another one or below it; both as dvc.yaml has them, with slashes."""
    return path == folder or path.startswith(f"{folder}/")


def _declaration(entry: Mapping[str, Any]) -> Declaration:
    return Declaration(
        params=_names(entry, "params"),
        dependencies=_names(entry, "deps"),
        outputs=_names(entry, "outs") + _names(entry, "metrics"),
    )


def _names(entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """The items of a list; one with options is a mapping with a single key."""
    items = entry.get(key)
    return tuple(
        str(next(iter(item))) if isinstance(item, dict) and item else str(item)
        for item in (items if isinstance(items, list) else [])
    )
