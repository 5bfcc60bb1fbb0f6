"""A place for checkpoints that a killed stage finds again, and only that stage on that very work."""

import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import pipeline
from pipeline.foundation.declarations import parse_declarations
from pipeline.foundation.digests import digest_file, digest_json, md5_file
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import read_text, text_if_any, write_text
from pipeline.foundation.workspace import Workspace
from pipeline.processes.locks import held

_PROJECT = Path(pipeline.__file__).parent.parent  # of the code that runs: in an experiment, its copy

_ENDED = "ended"
"""The file beside checkpoints of work that has ended: the hash of what it has made."""


@dataclass(frozen=True)
class Resumable:
    """A folder for checkpoints, and the key under which the tracker continues the same run."""

    folder: Path
    run_key: str

    def keep_until_noted(self, output: Path) -> None:
        """Keep the checkpoints of ended work until dvc.lock has this file, which was made by it.

        DVC may be killed before; it would have all of the work done again. Where DVC has not asked for the
        work, nobody takes note, and to repeat it is meant.
        """
        if "DVC_STAGE" in os.environ:
            write_text(self.folder / _ENDED, md5_file(output))


@contextmanager
def resumable(
    workspace: Workspace, stage: str, params: Mapping[str, Any], data_digest: str
) -> Iterator[Resumable]:
    """The checkpoints of this stage with these params, this data and this code.

    The folder lies in the workspace that outlives a temporary experiment, is locked against a second
    process with the same work, and goes away when the block ends well or with a PipelineError (the
    same params would only fail again). After a kill, or when the disk was full, it stays, and the next
    run goes on from it; as it does while DVC has not noted what was made (`keep_until_noted`).
    """
    code = parse_declarations(read_text(_PROJECT / "dvc.yaml"))[stage].code
    with resumable_work(workspace.resume, stage, [dict(params), data_digest, code_digest(code)]) as place:
        yield place


@contextmanager
def resumable_work(parent: Path, name: str, decisive: Sequence[Any]) -> Iterator[Resumable]:
    """The same for any work: below `parent`, for all that its result depends on, as JSON knows it."""
    folder = parent / f"{name}-{digest_json([name, *decisive])[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        key_file = folder / "run_key"
        if not key_file.exists():
            write_text(key_file, uuid.uuid4().hex)
        try:
            yield Resumable(folder, key_file.read_text())
        except PipelineError as error:
            if not isinstance(error.__cause__, OSError):  # a full disk is not the params' fault
                shutil.rmtree(folder)
            raise
        if not (folder / _ENDED).exists():
            shutil.rmtree(folder)


def remove_leftovers(workspace: Workspace) -> None:
    """Remove the checkpoints of ended work whose output dvc.lock has, and locks that nobody holds."""
    for lock_file in workspace.resume.glob("*.lock"):
        if not lock_file.with_suffix("").exists():
            with suppress(Timeout), FileLock(lock_file).acquire(timeout=0):
                lock_file.unlink(missing_ok=True)
    noted = text_if_any(workspace.lock)
    for ended in workspace.resume.glob(f"*/{_ENDED}"):
        lock = FileLock(_lock_file(ended.parent))
        with suppress(Timeout, FileNotFoundError), lock.acquire(timeout=0):
            if ended.read_text() in noted:
                shutil.rmtree(ended.parent)
                _lock_file(ended.parent).unlink(missing_ok=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with held(_lock_file(folder), "another process is training exactly this; waiting for it to end"):
        folder.mkdir(exist_ok=True)  # the process that was waited for has removed it
        try:
            yield
        finally:
            _lock_file(folder).unlink(missing_ok=True)  # who waits for it sees that, and makes a new one


def _lock_file(folder: Path) -> Path:
    return folder.with_suffix(".lock")


def code_digest(paths: Iterable[str]) -> str:
    """Of files, and of all files in folders, named from the project's folder."""
    files = [file for path in paths for file in _files(_PROJECT / path) if "__pycache__" not in file.parts]
    return digest_json([digest_file(file) for file in sorted(files)])


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
