"""A place for checkpoints that a killed stage finds again, and only that stage on that very work."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

import pipeline
from pipeline.foundation.digests import digest_file, digest_json
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import write_text
from pipeline.foundation.params import Section
from pipeline.foundation.workspace import Workspace

_CODE = ("foundation", "images", "inference", "networks", "training")
_CODE_ENDINGS = (".py", ".json")  # the bundled backbone's description names its weights


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
    digest = digest_json([stage, config.model_dump(mode="json"), data_digest, _code_digest(stage)])
    folder = workspace.resume / f"{stage}-{digest[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        key_file = folder / "run_key"
        if not key_file.exists():
            write_text(key_file, uuid.uuid4().hex)
        try:
            yield Resumable(folder, key_file.read_text())
        except PipelineError as error:
            if not isinstance(error.__cause__, OSError):  # a full disk is no fault of the params
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


def _code_digest(stage: str) -> str:
    root = Path(pipeline.__file__).parent
    files = [
        root / f"{stage}.py",
        *(
            file
            for floor in _CODE
            for file in sorted((root / floor).rglob("*"))
            if file.suffix in _CODE_ENDINGS
        ),
    ]
    return digest_json([digest_file(file) for file in files if file.exists()])
