"""Sees when an input of a stage changes while the stage runs.

DVC hashes a stage's dependencies when the stage has ended. What somebody changed meanwhile would be
recorded as what the result was made from, and the next `dvc repro` would take it for up to date.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from pipeline.foundation.declarations import parse_declarations, parse_values
from pipeline.foundation.digests import digest_bytes
from pipeline.foundation.errors import PipelineError
from pipeline.foundation.files import text_if_any
from pipeline.foundation.texts import first_few
from pipeline.foundation.workspace import Workspace
from pipeline.repository.dvc_hash import dvc_hash
from pipeline.repository.repository import parse_locked_outputs

_POLL_SECONDS = 2.0
_LARGE_BYTES = 1 << 20
_ALWAYS_IGNORED = ("__pycache__", "*.pyc")

_Status = tuple[int, int, int]
"""Size, time of the last change and inode: what tells without reading that a file is the same."""


@dataclass(frozen=True)
class _File:
    """A file at the start; no digest where it is large."""

    status: _Status
    digest: str | None


class StageInputs:
    """The inputs of one stage as they are now: the code, data and params that dvc.yaml lists for it.

    A file has changed when its content has. That is known for files up to 1 MiB. A larger one
    whose size, time or inode differs has changed too, unless it is part of an output of another stage
    which, as a whole, still has the hash that dvc.lock had for it at the start.
    """

    def __init__(self, workspace: Workspace, stage: str) -> None:
        """Take stock. Nothing is watched where dvc.yaml is missing or does not know the stage."""
        self._root = workspace.root
        self._params = workspace.params
        self._params_text = text_if_any(workspace.params)
        declared = parse_declarations(text_if_any(workspace.stages)).get(stage)
        self._keys = declared.params if declared else ()
        self._dependencies = declared.dependencies if declared else ()
        self._ignored = (*_ALWAYS_IGNORED, *_ignored_names(workspace.root / ".dvcignore"))
        self._lock = text_if_any(workspace.lock)
        self._stage = stage
        self._files = self._stock()
        self._verdicts: dict[tuple[str, _Status], bool] = {}

    def changes(self) -> list[str]:
        """What differs now: paths, and params.yaml with the keys in question."""
        paths = self._paths()
        changed = sorted(path for path in self._files.keys() | paths if self._has_changed(path))
        keys = self._changed_params()
        return changed + ([f"{self._params.name} ({', '.join(keys)})"] if keys else [])

    def _stock(self) -> dict[str, _File]:
        files = {}
        for path in self._paths():
            with suppress(FileNotFoundError):
                status = _status(self._root / path)
                small = status[0] <= _LARGE_BYTES
                files[path] = _File(status, _digest(self._root / path) if small else None)
        return files

    def _paths(self) -> set[str]:
        """All files among the dependencies, as paths from the project's folder."""
        return {path for dependency in self._dependencies for path in self._below(dependency)}

    def _below(self, dependency: str) -> Iterator[str]:
        if (self._root / dependency).is_file():
            yield dependency
        for folder, folders, files in os.walk(self._root / dependency):
            folders[:] = [name for name in folders if not self._is_ignored(name)]
            here = Path(folder).relative_to(self._root)
            yield from ((here / name).as_posix() for name in files if not self._is_ignored(name))

    def _is_ignored(self, name: str) -> bool:
        return any(fnmatch(name, pattern) for pattern in self._ignored)

    def _has_changed(self, path: str) -> bool:
        before = self._files.get(path)
        try:
            status = _status(self._root / path)
            if before is None or status == before.status:
                return before is None
            if (path, status) not in self._verdicts:  # a large file is read once, not at every look
                self._verdicts[path, status] = self._has_other_content(path, before)
            return self._verdicts[path, status]
        except OSError:
            return before is not None

    def _has_other_content(self, path: str, before: _File) -> bool:
        if before.digest is not None:
            return _digest(self._root / path) != before.digest
        upstream = parse_locked_outputs(self._lock).data_inputs(self._stage, self._dependencies)
        for output, known_as in upstream.items():
            if Path(path).is_relative_to(output):
                return dvc_hash(self._root / output) != known_as
        return True

    def _changed_params(self) -> list[str]:
        """Those of the stage's keys whose values differ; comments and another stage's param do not count."""
        text = text_if_any(self._params) if self._keys else self._params_text
        if text == self._params_text:
            return []
        before, now = parse_values(self._params_text), parse_values(text)
        return [key for key in self._keys if before.get(key) != now.get(key)]


@contextmanager
def unchanged(inputs: StageInputs, stage: str, fail_runs: Callable[[str], None]) -> Iterator[None]:
    """Run the block, warn as soon as an input changes, and fail where one is another at the end.

    Args:
      inputs: as they were before the stage has read any.
      stage: its name, for the warning.
      fail_runs: is told why what was recorded does not count.

    Raises:
      PipelineError: something has changed and was not put back.
    """
    end = threading.Event()
    watcher = threading.Thread(target=_watch, args=(inputs, stage, end), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        end.set()
        watcher.join()
    if inputs.changes():
        time.sleep(_POLL_SECONDS)  # see _watch
    if changed := inputs.changes():
        names = first_few(changed)
        fail_runs(f"changed while the stage ran: {names}")
        raise PipelineError(
            f"Inputs have changed while the stage ran: {names}.",
            expected="the content that they had at the start; DVC looks at them at the end and would record "
            "the new content as what this result was made from",
            remedy="run the same command again, with the new content or with the old one put back; "
            "what is put back before the end of a stage does no harm",
        )


def _watch(inputs: StageInputs, stage: str, end: threading.Event) -> None:
    seen: set[str] = set()
    told: set[str] = set()
    while not end.wait(_POLL_SECONDS):
        changed = set(inputs.changes())
        # `dvc exp run --queue` changes files for a moment; what two looks have found is there to stay.
        lasting = (changed & seen) - told
        if lasting:
            _warn(
                f"{stage}: warning: {first_few(sorted(lasting))} changed while the stage runs: it will "
                "fail when it ends, unless the old content is back by then"
            )
        if told and not told & changed:
            _warn(f"{stage}: all inputs are back to what they were")
        seen, told = changed, (told | lasting) & changed


def _warn(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _ignored_names(dvcignore: Path) -> list[str]:
    """The plain names and patterns of names in .dvcignore; what speaks of folders in it is passed over."""
    lines = [line.strip().removesuffix("/") for line in text_if_any(dvcignore).splitlines()]
    return [line for line in lines if line and not line.startswith(("#", "!")) and "/" not in line]


def _status(path: Path) -> _Status:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _digest(path: Path) -> str:
    return digest_bytes(path.read_bytes())
