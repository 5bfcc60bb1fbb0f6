"""The project's git repository, and what DVC keeps in it: locked outputs and experiments.

Nothing here changes the repository.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.foundation.declarations import Declaration, is_within, parse_declarations
from pipeline.repository.dvc_hash import folder_hash

_EXPERIMENT_REFS = "refs/exps"
_GIT_SECONDS = 20

# Three quarters of a dvc.lock stand below these keys of its stages. DVC writes the file with exactly this
# indentation; where it did not, nothing would be found and nothing lost but time.
_DEPENDENCIES_AND_PARAMS = re.compile(r"^    (?:deps|params):\n(?:(?:    -|     ).*\n|\n)*", re.MULTILINE)


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
      sizes: bytes of every output by path.
    """

    inputs: Mapping[str, str]
    params: Mapping[str, Any]
    outputs: Mapping[str, str]
    sizes: Mapping[str, int]


@dataclass(frozen=True)
class Lock:
    """The content of a dvc.lock; `text` is the file itself, empty where there is none."""

    text: str
    stages: Mapping[str, StageLock]

    @property
    def outputs(self) -> dict[str, str]:
        """DVC's hash by path of every output of every stage."""
        return {path: value for stage in self.stages.values() for path, value in stage.outputs.items()}

    def hash_of(self, path: str) -> str:
        """DVC's hash of an output, or of a folder of outputs as if it were one; empty where there is none.

        What was locked before outputs became files has the same hash by its folder.
        """
        outputs = self.outputs
        if path in outputs:
            return outputs[path]
        within = [output for output in outputs if is_within(output, path)]
        below = {output.removeprefix(f"{path}/"): outputs[output] for output in within}
        return folder_hash(below) if below else ""

    def outputs_of(self, stage: str) -> Mapping[str, str]:
        """DVC's hash by path of a stage's outputs; none where it has not run."""
        return self.stages[stage].outputs if stage in self.stages else {}

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
        stages = YAML(typ="safe").load(text)["stages"]
        return Lock(text, {name: _stage_lock(entry) for name, entry in stages.items()})
    except (YAMLError, TypeError, KeyError, AttributeError):
        return Lock("", {})


def parse_locked_outputs(text: str) -> Lock:
    """As `parse_lock`, but without inputs and params: for a stage that starts, in a fifth of the time."""
    return parse_lock(_DEPENDENCIES_AND_PARAMS.sub("", text))


def _stage_lock(entry: Mapping[str, Any]) -> StageLock:
    params = {key: value for file in (entry.get("params") or {}).values() for key, value in file.items()}
    inputs, outputs = entry.get("deps") or [], entry.get("outs") or []
    return StageLock(
        inputs={each["path"]: each.get("md5", "") for each in inputs},
        params=params,
        outputs={each["path"]: each.get("md5", "") for each in outputs},
        sizes={each["path"]: each.get("size", 0) for each in outputs},
    )


class Repository:
    """The repository of a project folder; every answer is None or empty where git or DVC knows none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def git(self, *arguments: str) -> str | None:
        """What a git command prints, stripped; None where it fails or this is not a repository."""
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
        return self.git_commit("HEAD")

    def git_commit(self, revision: str) -> str | None:
        """The full hash of what git itself calls so: a commit, branch or tag."""
        if revision.startswith("-"):
            return None
        return self.git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") or None

    def refs_called(self, name: str) -> dict[str, str]:
        """The commits of the branches and tags of that name, by their full names."""
        refs = [f"refs/{kind}/{name}" for kind in ("heads", "tags", "remotes")]
        listed = self.git("for-each-ref", "--format=%(refname)", *refs) or ""
        # A pattern also lists the refs below it, such as feature/login for feature.
        commits = {ref: self.git_commit(ref) for ref in listed.splitlines() if ref in refs}
        return {ref: commit for ref, commit in commits.items() if commit}

    def experiments_called(self, name: str) -> list[Experiment]:
        """The experiments of that name, the latest first: each baseline may have one."""
        return [each for each in self.experiments() if each.name == name]

    def experiments(self) -> list[Experiment]:
        """All experiments that DVC keeps, the latest first."""
        listed = self.git(
            "for-each-ref", "--sort=-committerdate", "--format=%(refname) %(objectname)", _EXPERIMENT_REFS
        )
        return list(_parsed_experiments(listed or ""))

    def names(self) -> list[str]:
        """What branches, tags and experiments are called."""
        listed = self.git("for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags") or ""
        return [*listed.split(), *(each.name for each in self.experiments())]

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

    def declarations(self, revision: str | None) -> dict[str, Declaration]:
        """What every stage reads and writes, as dvc.yaml had it at a revision (None: has it now)."""
        return parse_declarations(self.text(revision, "dvc.yaml") or "")

    def changes(self, *paths: str) -> list[str] | None:
        """Which files below some paths (none: of all) differ from HEAD; None where git cannot tell."""
        listed = self.git("status", "--porcelain", "--", *paths)
        return None if listed is None else [line.split(maxsplit=1)[1] for line in listed.splitlines()]

    def title(self, revision: str) -> str:
        """Short hash, subject and day of a commit; the first seven characters where git has no such."""
        return self.git("log", "-1", "--format=%h %s (%cs)", revision) or revision[:7]

    def first_commit_with(self, dvc_hash: str) -> str | None:
        """The oldest commit of any branch or tag whose dvc.lock holds a hash."""
        refs = ("--branches", "--tags", "--remotes", "HEAD")
        found = self.git("log", *refs, "--reverse", f"-S{dvc_hash}", "--format=%H", "--", "dvc.lock")
        return found.splitlines()[0] if found else None

    def cached(self, revision: str, path: str) -> bool:
        """Whether all outputs of a revision at or below a path are in DVC's cache on this machine."""
        outputs = self.lock(revision).outputs
        hashes = [value for output, value in outputs.items() if is_within(output, path)]
        return bool(hashes) and all(map(self._is_cached, hashes))

    def _is_cached(self, dvc_hash: str) -> bool:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo  # half a second

        try:
            with Repo(str(self.folder)) as repo:
                cache = repo.cache.local
                if not cache.exists(dvc_hash) or not dvc_hash.endswith(".dir"):
                    return bool(cache.exists(dvc_hash))
                entries = json.loads(Path(cache.oid_to_path(dvc_hash)).read_text(encoding="utf-8"))
                return all(cache.exists(entry["md5"]) for entry in entries)
        except (DvcException, OSError, ValueError):
            return False

    def cache_folder(self) -> Path | None:
        """DVC's cache, wherever its configuration puts it; None where this is not a project of DVC's."""
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        try:
            with Repo(str(self.folder)) as repo:
                return Path(repo.cache.local_cache_dir)
        except (DvcException, OSError):
            return None

    def remote(self) -> str | None:
        """The name of the DVC remote that `dvc pull` would ask."""
        from dvc.config import Config, ConfigError

        try:
            name: str | None = Config(str(self.folder / ".dvc"), validate=False)["core"].get("remote")
            return name
        except (ConfigError, KeyError):
            return None

    def file_hashes(self, revision: str, folder: str) -> dict[str, str] | None:
        """DVC's hash by path within an output folder, as of a revision; None where its list is not here."""
        from dvc.api import DVCFileSystem

        try:
            found = DVCFileSystem(str(self.folder), rev=revision).find(folder, detail=True)
            return {path.removeprefix(f"{folder}/"): info["md5"] for path, info in found.items()}
        except Exception:  # DVC's errors have no common ancestor but this one
            return None

    def output(self, revision: str, path: str) -> bytes | None:
        """A file that DVC keeps, as of a revision, from its cache or remote; None where it is in neither."""
        from dvc.api import DVCFileSystem  # a second

        try:
            return bytes(DVCFileSystem(str(self.folder), rev=revision).cat_file(path))
        except Exception:  # DVC's errors have no common ancestor but this one
            return None

    def copy_output(self, revision: str, path: str, target: Path) -> bool:
        """Copy a file or a whole folder that `output` could read; whether all of it was there."""
        from dvc.api import DVCFileSystem

        try:
            DVCFileSystem(str(self.folder), rev=revision).get(path, str(target), recursive=True)
        except Exception:  # DVC's errors have no common ancestor but this one
            return False
        return True


def _parsed_experiments(listed: str) -> Iterator[Experiment]:
    for line in listed.splitlines():
        reference, commit = line.split()
        # refs/exps/<first two of the baseline>/<the rest of it>/<name>; refs/exps/stash is DVC's own
        parts = reference.removeprefix(_EXPERIMENT_REFS + "/").split("/", 2)
        if len(parts) == 3 and len(parts[0]) == 2 and len(parts[1]) == 38:
            yield Experiment(name=parts[2], baseline=parts[0] + parts[1], commit=commit)
