"""A revision of the project in a temporary folder, with a cache and a tracking store of its own."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from ruamel.yaml import YAML

from pipeline.commands.reproducing.dvc_process import dvc_environment, run_dvc
from pipeline.foundation.declarations import parse_values
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import disk_errors_explained, path_of
from pipeline.foundation.workspace import Workspace
from pipeline.processes.child_process import Say
from pipeline.repository.repository import Lock, Repository, parse_lock

_PREFIX = f"verify-{socket.gethostname()}-"
_CACHE_REMOTE = "cache-of-the-workspace"
_SECONDS_TO_END = 5


@dataclass(frozen=True)
class TemporaryClone:
    """A clone in which DVC runs without touching the workspace, its cache or its MLflow store.

    Attributes:
      workspace: the clone.
      scratch: the temporary folder around it.
      original: the workspace that it was cloned from.
    """

    workspace: Workspace
    scratch: Path
    original: Workspace

    @property
    def lock(self) -> Lock:
        """dvc.lock as it is now."""
        return parse_lock(self.workspace.lock.read_text(encoding="utf-8"))

    def fetch(self, outputs: Sequence[str], say: Say) -> bool:
        """Put outputs that DVC keeps into the clone, from the workspace's cache or else its remote.

        Returns whether all of them were there. The workspace's cache is only read.
        """
        # What is there already was brought by git.
        paths = [path for path in outputs if not (self.workspace.root / path).exists()]
        if not paths or self._pull(paths, ["--remote", _CACHE_REMOTE]):
            return True
        remote = Repository(self.original.home).remote()
        if remote is None:
            return False
        say(f"DVC's cache lacks {', '.join(paths)}: asking the remote {remote}")
        return self._pull(paths, ["--remote", remote])

    def forget_stages(self, stages: Sequence[str]) -> None:
        """Take stages out of dvc.lock, so that DVC runs them."""
        yaml = YAML()
        values = yaml.load(self.workspace.lock.read_text(encoding="utf-8"))
        for stage in stages:
            values["stages"].pop(stage, None)
        with self.workspace.lock.open("w", encoding="utf-8") as file:
            yaml.dump(values, file)

    def reproduce(self, arguments: Sequence[str], say: Say) -> int:
        """Run `dvc repro`, its output live; returns its exit code."""
        # Nothing needs a second copy in the clone's cache, and nothing is to be taken from a run cache.
        command = ["repro", "--no-commit", "--no-run-cache", *arguments]
        return run_dvc(self.workspace.root, command, self._environment, say)

    def prepare(self, location: str | None) -> None:
        """Give the clone a cache, a configuration, and the images at a location relative to the project."""
        from dvc.config import Config

        configuration = self.workspace.root / ".dvc"
        own = self.original.home / ".dvc" / "config.local"  # may hold what a remote asks for
        if own.exists():
            shutil.copy(own, configuration / "config.local")
        with Config(str(configuration), validate=False).edit("local") as values:
            # Linked into the clone where that is possible: nothing writes into its cache afterwards.
            values["cache"] = {"dir": str(self.scratch / "cache"), "type": "reflink,hardlink,copy"}
            if (cache := Repository(self.original.home).cache_folder()) is not None:
                values.setdefault("remote", {})[_CACHE_REMOTE] = {"url": str(cache)}
        self._link(self.workspace.downloads, self.original.downloads)
        if location is not None:
            self._link(self.workspace.root / location, self.original.resolve_location(location))

    def _link(self, path: Path, target: Path) -> None:
        """Let the clone find what git does not bring: downloads, and images at a relative location.

        Downloads are checked against their published checksums whenever they are used.
        """
        link = Path(os.path.normpath(path))
        if target.exists() and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)

    def _pull(self, paths: Sequence[str], options: Sequence[str]) -> bool:
        command = [sys.executable, "-m", "dvc", "pull", "--quiet", *options, *paths]
        done = subprocess.run(command, cwd=self.workspace.root, env=self._environment, capture_output=True)
        return done.returncode == 0

    @property
    def _environment(self) -> dict[str, str]:
        return {
            **dvc_environment(),
            "DVC_SITE_CACHE_DIR": str(self.scratch / "site"),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.scratch / 'mlflow.db'}",
        }


@contextmanager
def temporary_clone(workspace: Workspace, commit: str) -> Iterator[TemporaryClone]:
    """Clone the project at a commit (an experiment's, too); everything is deleted when the block ends.

    Raises PipelineError where git cannot clone it.
    """
    # Below .dvc/tmp, as DVC's own temporary experiments: on the disk that has room for the data, while
    # the system's folder for temporary files may lie in memory.
    parent = workspace.home / ".dvc" / "tmp"
    with disk_errors_explained(parent):
        parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=parent, prefix=f"{_PREFIX}{os.getpid()}-"))
    _remove_remains(parent)
    location = _relative_location(Repository(workspace.home).text(commit, workspace.params.name) or "")
    # A folder for every step that the location climbs above the project, so that it ends in ours.
    steps = Path(os.path.normpath(location)).parts.count("..") if location else 0
    try:
        project = scratch.joinpath(*["above"] * steps, "project")
        project.parent.mkdir(parents=True, exist_ok=True)
        # --shared borrows the objects of the repository, also those that only an experiment's ref keeps.
        _git("clone", "--quiet", "--shared", "--no-checkout", str(workspace.home), str(project))
        _git("-C", str(project), "checkout", "--quiet", "--detach", commit)
        clone = TemporaryClone(Workspace(root=project, home=project), scratch, workspace)
        clone.prepare(location)
        yield clone
    finally:
        _end_processes_in(scratch)
        shutil.rmtree(scratch, ignore_errors=True)


def _relative_location(params: str) -> str | None:
    """fetch.location of a params.yaml if it is a path relative to the project."""
    try:
        location = parse_values(params)["fetch"]["location"]
    except (KeyError, TypeError):
        return None
    if not isinstance(location, str) or "://" in location or path_of(location).is_absolute():
        return None
    return location


def _git(*arguments: str) -> None:
    result = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if result.returncode:
        raise PipelineError("The repository could not be cloned.", found=result.stderr.strip())


def _remove_remains(parent: Path) -> None:
    """Clones of processes that were killed before they could clean up."""
    for path in parent.glob(f"{_PREFIX}*-*"):
        number = path.name.removeprefix(_PREFIX).partition("-")[0]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def _end_processes_in(folder: Path) -> None:
    """End what still runs in a folder: deliveries to its MLflow store, or stages whose DVC was killed."""
    running = [process for process in psutil.process_iter() if _works_in(process, folder)]
    for process in running:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(running, timeout=_SECONDS_TO_END)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(folder)
    except (psutil.Error, OSError):
        return False
