"""The commands that bring a model back, from what its run has recorded and what this repository has."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.foundation.declarations import parse_values
from pipeline.foundation.workspace import PARAMS_FILE
from pipeline.params.whole import quoted
from pipeline.repository.repository import Repository
from pipeline.tracking.flat_params import as_text


@dataclass(frozen=True)
class ChangedParam:
    """A param with which a run was not made as params.yaml of its baseline says.

    Attributes:
      name: the key, with its sections.
      value: what the run had, as text; None where it had no such key.
      committed: what the baseline has; None where it has no such key.
    """

    name: str
    value: str | None
    committed: str | None

    def __str__(self) -> str:
        committed = "new" if self.committed is None else _shown(self.committed)
        if self.value is None:
            return f"{self.name} absent ({committed})"
        return f"{self.name}={_shown(self.value)} ({committed})"

    @property
    def override(self) -> str:
        """The same as `dvc exp run -S` takes it."""
        if self.value is None:
            return f"~{self.name}"
        return f"{'+' if self.committed is None else ''}{self.name}={_hydra_value(self.value)}"


@dataclass(frozen=True)
class Recipe:
    """What is known of how a model was made.

    Attributes:
      stage: the stage that made it, and `output` the folder that it wrote into.
      dvc_hash: DVC's hash of the model's card; None where it is not known.
      experiment: name of the DVC experiment, empty for none; `baseline` is the commit it started from.
      commit: HEAD while the stage ran, empty where there was none.
      changes: files that differed from it; None where it is not known whether any did.
      changed_params: how the params differed from the baseline's; None where that is not known.
    """

    stage: str
    output: str
    dvc_hash: str | None
    experiment: str
    baseline: str
    commit: str
    changes: Sequence[str] | None
    changed_params: Sequence[ChangedParam] | None


@dataclass(frozen=True)
class Recovery:
    """Commands that bring a model back, and why these; without commands, why there are none."""

    commands: tuple[str, ...]
    reason: str


def changed_params(params: Mapping[str, str], committed_text: str, complete: bool) -> list[ChangedParam]:
    """How the recorded params differ from a params.yaml.

    Args:
      params: flat, as text, as MLflow keeps them.
      committed_text: the params.yaml.
      complete: whether `params` are all there were, so that what is missing was not there.
    """
    committed = as_text(parse_values(committed_text))
    changed = [
        ChangedParam(name, text, committed.get(name))
        for name, text in params.items()
        if name not in committed or not _equal(text, committed[name])
    ]
    if complete:
        gone = [name for name in committed if name not in params and not _has_keys_below(name, params)]
        changed += [ChangedParam(name, None, committed[name]) for name in gone]
    return changed


def find_recovery(repository: Repository, recipe: Recipe) -> Recovery:
    """The shortest way back to a model: its experiment, a commit that has it, or its training again."""
    return (
        _from_experiment(repository, recipe)
        or _from_commit(repository, recipe)
        or _from_training_again(repository, recipe)
    )


def _from_experiment(repository: Repository, recipe: Recipe) -> Recovery | None:
    """By the experiment, unless it is gone or another one was run under its name."""
    if not recipe.experiment:
        return None
    namesakes = repository.experiments_called(recipe.experiment)
    own = [each for each in namesakes if each.baseline == recipe.baseline]
    if not own or (recipe.dvc_hash and recipe.dvc_hash not in _locked_hashes(repository, own[0].commit)):
        return None
    commit, reason = own[0].commit, f"the experiment {recipe.experiment} is in this repository"
    if recipe.dvc_hash is None or repository.cached(commit, recipe.output):
        name = recipe.experiment if len(namesakes) == 1 else commit[:7]
        return Recovery((f"dvc exp apply {shlex.quote(name)}",), reason)
    return _checked_out(repository, recipe, commit, reason)


def _from_commit(repository: Repository, recipe: Recipe) -> Recovery | None:
    commit = recipe.dvc_hash and repository.first_commit_with(recipe.dvc_hash)
    if not commit or recipe.dvc_hash not in _locked_hashes(repository, commit):
        return None
    return _checked_out(repository, recipe, commit, "that commit has this model in its dvc.lock")


def _checked_out(repository: Repository, recipe: Recipe, commit: str, reason: str) -> Recovery:
    """The commands after which the model of a commit is in the workspace, wherever its bytes are."""
    checkout = f"git checkout {commit[:10]}"
    if recipe.dvc_hash and repository.cached(commit, recipe.output):
        return Recovery((checkout, "dvc checkout"), reason)
    remote = repository.remote()
    if remote:
        lacking = f"{reason}; DVC's cache here lacks it, so that the remote {remote} is asked"
        return Recovery((checkout, f"dvc pull {shlex.quote(recipe.stage)}"), lacking)
    again = (
        f"{reason}; DVC's cache here lacks it and no DVC remote is set, so that it is trained again "
        "(on the same kind of machine to the same bytes)"
    )
    return Recovery((checkout, f"dvc repro {shlex.quote(recipe.stage)}"), again)


def _from_training_again(repository: Repository, recipe: Recipe) -> Recovery:
    none_has_it = "no commit or experiment of this repository has this model"
    if not recipe.commit:
        return Recovery((), f"{none_has_it}, and its run was made outside of a git repository")
    if repository.git_commit(recipe.commit) is None:
        unknown = f"{none_has_it}, nor commit {recipe.commit[:10]}, on which its run was made"
        return Recovery((), f"{unknown}: 'git fetch --all' may bring it, 'dvc exp pull' the experiment")
    if recipe.changes is None:
        return Recovery((), f"{none_has_it}, and whether its run had uncommitted changes is not known")
    changed_code = [path for path in recipe.changes if path != PARAMS_FILE]
    if changed_code:
        files = ", ".join(changed_code)
        lost = f"{none_has_it}, and its run had uncommitted changes on top of commit {recipe.commit[:10]}"
        return Recovery((), f"{lost}; only the names of the changed files are known: {files}")
    changed = recipe.changed_params if recipe.changes else ()  # params.yaml itself was the commit's
    if changed is None:
        return Recovery((), f"{none_has_it}, and the params of its run are not recorded in full")
    settings = [part for each in changed for part in ("-S", each.override)]
    command = ["dvc", "exp", "run", *settings, recipe.stage] if settings else ["dvc", "repro", recipe.stage]
    return Recovery(
        (f"git checkout {recipe.commit[:10]}", shlex.join(command)),
        f"{none_has_it}; its run had no uncommitted changes of code, so that the same commit and params "
        "train it again (on the same kind of machine to the same bytes)",
    )


def _locked_hashes(repository: Repository, revision: str) -> set[str]:
    return set(repository.lock(revision).outputs.values())


def _has_keys_below(name: str, params: Mapping[str, str]) -> bool:
    return any(other.startswith(f"{name}.") for other in params)


def _equal(text: str, other: str) -> bool:
    """Whether two texts mean the same value: 1e-05 and 0.00001 do."""
    return text == other or _value(text) == _value(other)


def _value(text: str) -> Any:
    """The number, switch, list or text that is written so; a title with a colon is not a mapping."""
    try:
        value = YAML(typ="safe").load(text)
    except YAMLError:
        return text
    return text if isinstance(value, dict) and value else value


def _shown(text: str) -> str:
    """A value as params.yaml has it."""
    value = _value(text)
    return str(value).lower() if isinstance(value, bool) else text


def _hydra_value(text: str) -> str:
    """A value in the syntax that DVC has from Hydra, in which bare text must be free of punctuation."""
    value = _value(text)
    if not isinstance(value, str):
        return json.dumps(value, separators=(",", ":"))
    return value if re.fullmatch(r"[\w./-]+", value) else quoted(value)
