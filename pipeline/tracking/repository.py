"""The project's git repository, and what DVC keeps in it: locked outputs and experiments.

Nothing here changes the repository.
"""

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError

_EXPERIMENT_REFS = "refs/exps"
_GIT_SECONDS = 20


@dataclass(frozen=True)
class Experiment:
    """A DVC experiment that has ended well; `baseline` and `commit` are full commit hashes."""

    name: str
    baseline: str
    commit: str


@dataclass(frozen=True)
class StageLock:
    """A stage's entry in dvc.lock.

    Attributes:
      inputs: DVC's hash by path of every dependency.
      params: the values of params.yaml that DVC watches for the stage, by key.
      outputs: DVC's hash by path of every output; those of folders end in `.dir`.
    """

    inputs: Mapping[str, str]
    params: Mapping[str, Any]
    outputs: Mapping[str, str]


@dataclass(frozen=True)
class Lock:
    """The content of a dvc.lock; `text` is the file itself, empty where there is none."""

    text: str
    stages: Mapping[str, StageLock]

    @property
    def outputs(self) -> dict[str, str]:
        """DVC's hash by path of every output of every stage."""
        return {path: value for stage in self.stages.values() for path, value in stage.outputs.items()}

    def data_inputs(self, stage: str, dependencies: Iterable[str]) -> dict[str, str]:
        """Of a stage's dependencies those that other stages write, with the hashes those have now.

        A stage's own entry is that of its previous run while it runs; what stands upstream is current.
        A dependency inside of an upstream folder has the hash of that folder.
        """
        upstream = {
            path: value
            for name, entry in self.stages.items()
            if name != stage
            for path, value in entry.outputs.items()
        }
        found = {}
        for path in dependencies:
            for output, value in upstream.items():
                if path == output or Path(path).is_relative_to(output) or Path(output).is_relative_to(path):
                    found[output] = value
        return found


def parse_lock(text: str) -> Lock:
    """The content of a dvc.lock; what cannot be read counts as empty."""
    try:
        values = YAML(typ="safe").load(text) or {}
    except YAMLError:
        return Lock("", {})
    stages = values.get("stages") or {}
    return Lock(text, {name: _stage_lock(entry) for name, entry in stages.items()})


def _stage_lock(entry: Mapping[str, Any]) -> StageLock:
    params = {key: value for file in (entry.get("params") or {}).values() for key, value in file.items()}
    return StageLock(
        inputs={each["path"]: each.get("md5", "") for each in entry.get("deps") or []},
        params=params,
        outputs={each["path"]: each.get("md5", "") for each in entry.get("outs") or []},
    )


class Repository:
    """The repository of a project folder; every answer is None or empty where git or DVC knows none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def git(self, *arguments: str) -> str | None:
        """What a git command prints, stripped; None where it fails or this is no repository."""
        # No optional locks: git must not refresh the index while DVC works on the same repository.
        environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
        command = ["git", "-C", str(self.folder), *arguments]
        try:
            result = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=_GIT_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
            return None
        return result.stdout.strip() if result.returncode == 0 else None

    def head(self) -> str | None:
        """The full hash of the commit that is checked out."""
        return self.commit("HEAD")

    def commit(self, revision: str) -> str | None:
        """The full hash of a commit, branch, tag or, if there is no such, of the experiment of that name."""
        if revision.startswith("-"):
            return None
        found = self.git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        if found:
            return found
        named = [each.commit for each in self.experiments() if each.name == revision]
        return named[0] if named else None

    def experiments(self) -> list[Experiment]:
        """All experiments that DVC keeps, the latest first."""
        listed = self.git(
            "for-each-ref", "--sort=-committerdate", "--format=%(refname) %(objectname)", _EXPERIMENT_REFS
        )
        return list(_parsed_experiments(listed or ""))

    def text(self, revision: str | None, path: str) -> str | None:
        """A file that git keeps, as of a revision, or of the working tree for None."""
        if revision is None:
            try:
                return (self.folder / path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                return None
        return self.git("show", f"{revision}:{path}")

    def lock(self, revision: str | None) -> Lock:
        """dvc.lock as of a revision, or of the working tree for None."""
        return parse_lock(self.text(revision, "dvc.lock") or "")

    def first_commit_with(self, dvc_hash: str) -> str | None:
        """The oldest commit of any branch or tag whose dvc.lock holds a hash."""
        refs = ("--branches", "--tags", "--remotes", "HEAD")
        found = self.git("log", *refs, "--reverse", f"-S{dvc_hash}", "--format=%H", "--", "dvc.lock")
        return found.splitlines()[0] if found else None

    def output(self, revision: str, path: str) -> bytes | None:
        """A file that DVC keeps, as of a revision, from its cache or remote; None where it is in neither."""
        from dvc.api import DVCFileSystem  # a second

        try:
            return bytes(DVCFileSystem(str(self.folder), rev=revision).cat_file(path))
        except Exception:  # DVC's errors have no common ancestor but this one
            return None


def _parsed_experiments(listed: str) -> Iterator[Experiment]:
    for line in listed.splitlines():
        reference, commit = line.split()
        # refs/exps/<first two of the baseline>/<the rest of it>/<name>; refs/exps/stash is DVC's own
        parts = reference.removeprefix(_EXPERIMENT_REFS + "/").split("/", 2)
        if len(parts) == 3 and len(parts[0]) == 2 and len(parts[1]) == 38:
            yield Experiment(name=parts[2], baseline=parts[0] + parts[1], commit=commit)
