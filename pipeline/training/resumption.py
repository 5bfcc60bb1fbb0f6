"""A place for checkpoints that a killed stage finds again, and only that stage on that very work."""

import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

import pipeline
from pipeline.foundation.declarations import parse_declarations
from pipeline.foundation.digests import digest_file, digest_json
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import read_text, write_text
from pipeline.foundation.workspace import Workspace
from pipeline.params.base import Section

_PROJECT = Path(pipeline.__file__).parent.parent  # of the code that runs: in an experiment, its copy


@dataclass(frozen=True)
class Resumable:
    """A folder for checkpoints, and the key under which the tracker continues the same run."""

    folder: Path
    run_key: str


@contextmanager
def resumable(workspace: Workspace, stage: str, config: Section, data_digest: str) -> Iterator[Resumable]:
    """The checkpoints of this stage with these params, this data and this code.

    The folder lies in the workspace that outlives a temporary experiment, is locked against a second
    process with the same work, and goes away when the block ends well or with a PipelineError (the
    same params would only fail again). After a kill, or when the disk was full, it stays, and the next
    run goes on from it.
    """
    code = parse_declarations(read_text(_PROJECT / "dvc.yaml"))[stage].code
    values = config.model_dump(mode="json")
    with resumable_work(workspace.resume, stage, [values, data_digest, code_digest(code)]) as place:
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
        shutil.rmtree(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("another process is training exactly this; waiting for it to end", flush=True)
        lock.acquire()
    try:
        folder.mkdir(exist_ok=True)  # the process that was waited for has removed it
        yield
    finally:
        lock.release()


def code_digest(paths: Iterable[str]) -> str:
    """Of files, and of all files in folders, named from the project's folder."""
    files = [file for path in paths for file in _files(_PROJECT / path) if "__pycache__" not in file.parts]
    return digest_json([digest_file(file) for file in sorted(files)])


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
