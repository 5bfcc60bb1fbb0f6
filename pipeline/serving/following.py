"""Notices that another model shall answer: another export was published, or the champion has changed.

Publishing is a change of one small file, at which the server looks once a second. The champion is an
alias in MLflow's registry; a child process watches it, as importing MLflow costs seconds and 200 MB.
Where the two disagree, the latest event wins.
"""

import asyncio
import json
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import CANDIDATES
from pipeline.inference.exported_model import EXPORT_FILE, POINTER_FILE, ExportedModel, published
from pipeline.serving.served_model import ModelSwitch
from pipeline.serving.worker_pool import Report

POLL_SECONDS = 1.0
"""How often the server looks for something published."""
_RESTART_SECONDS = 30.0


@dataclass
class FollowingState:
    """What people are told of following.

    Attributes:
      pointer: whether the server looks for another published export.
      registry: whether it watches the registry.
      champion_version: the version that the registry calls champion, where that is known.
      problem: why the model that should answer does not; empty when it does.
    """

    pointer: bool = False
    registry: bool = False
    champion_version: int | None = None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "published": self.pointer,
            "registry": self.registry,
            "champion_version": self.champion_version,
            "problem": self.problem or None,
        }


class Follower:
    """Switches to what was published or promoted, until it is closed."""

    def __init__(
        self, exports: Path, switch: ModelSwitch, watcher: Sequence[str] | None, report: Report
    ) -> None:
        """Prepare to follow.

        Args:
          exports: the folder with the pointer and `<name>/<version>/`.
          switch: is told what to serve.
          watcher: command that watches the registry, to which the model's name is added, and prints
            what pipeline.tracking.watching prints; None: the registry is not watched.
          report: writes to the log.
        """
        self.state = FollowingState(pointer=True)
        self._exports = exports
        self._switch = switch
        self._watcher = watcher
        self._report = report
        self._last_published = self._published()
        self._awaited: Path | None = None  # an export that does not exist yet, of the champion
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow_pointer())
                if self._watcher is not None:
                    tasks.create_task(self._follow_registry(self._watcher))
        except* Exception as errors:  # the model goes on answering, and people can see why it stays
            self.state.pointer = self.state.registry = False
            self._tell(f"following has ended: {', '.join(type(each).__name__ for each in errors.exceptions)}")

    async def _follow_pointer(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            event = self._published()
            if event is not None and event != self._last_published:
                self._last_published = event
                await self._switch_to(event[1], "published")

    def _published(self) -> tuple[int, Path] | None:
        """When something was published last, in nanoseconds, and its folder."""
        try:
            folder = published(self._exports)
            return (self._exports / POINTER_FILE).stat().st_mtime_ns, folder
        except (PipelineError, OSError, KeyError, TypeError):
            return None  # gone or damaged: the model that answers stays

    async def _follow_registry(self, watcher: Sequence[str]) -> None:
        """Keep a watcher running for the model that answers, as long as it is one of the registry."""
        while True:
            name = self._switch.current.exported.name
            if is_registered(name):
                await self._watch(watcher, name)
            unchanged = self._switch.current.exported.name == name
            await asyncio.sleep(_RESTART_SECONDS if is_registered(name) and unchanged else POLL_SECONDS)

    async def _watch(self, watcher: Sequence[str], name: str) -> None:
        """Follow what a watcher reports, until it ends or a model of another name answers."""
        process = await asyncio.create_subprocess_exec(
            *watcher, name, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
        )
        self.state.registry = True
        try:
            while self._switch.current.exported.name == name:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        line = await _line(process)
                    if not line:
                        self._report("watcher ended", name=name)
                        return
                    self._heard(name, json.loads(line))
                await self._follow_champion()
        finally:
            self.state.registry = False
            await _end(process)

    def _heard(self, name: str, said: dict[str, Any]) -> None:
        """Take in what the watcher says: a new champion, none any more, or why it cannot tell."""
        if "problem" in said:
            self._tell(f"the registry cannot be read: {said['problem']}")
            return
        version: int | None = said["version"]
        self.state.champion_version = version
        current = self._switch.current.exported
        if version is None or (current.name, current.version) == (name, version):
            self._awaited = None
            self._tell("")
        else:
            self._awaited = self._exports / name / str(version)

    async def _follow_champion(self) -> None:
        if self._awaited is None:
            return
        if (self._awaited / EXPORT_FILE).exists():
            await self._switch_to(self._awaited, "champion")
        else:
            name, version = self._awaited.parts[-2:]
            self._tell(
                f"the champion of {name} is version {version}, of which there is no export here; "
                f"python -m pipeline export models:/{name}@champion makes it"
            )

    async def _switch_to(self, folder: Path, why: str) -> None:
        async with self._one_at_a_time:
            self._awaited = None
            shown = folder.relative_to(self._exports).as_posix()
            try:
                # An export that becomes champion and is published comes here twice.
                if ExportedModel.load(folder) != self._switch.current.exported:
                    self._report("switching", why=why, to=shown)
                    await self._switch.switch(folder)
                self._tell("")
            except PipelineError as error:
                self._tell(f"{shown} cannot be served: {error.what}")

    def _tell(self, problem: str) -> None:
        if problem and problem != self.state.problem:
            self._report("not followed", problem=problem)
        self.state.problem = problem


def is_registered(name: str) -> bool:
    """Whether an export of this name is of a registered model; the others have a candidate's name."""
    return name not in CANDIDATES


async def _line(process: Process) -> bytes:
    assert process.stdout is not None
    return await process.stdout.readline()


async def _end(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()  # at which it ends by itself
    if process.returncode is None:
        process.kill()
    await process.wait()
