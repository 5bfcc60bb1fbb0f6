"""Notices that another model should answer: another export was published, or the champion has changed.

Publishing is a change of one small file, at which the server looks once a second. The champion is an
alias in MLflow's registry; a child process watches it, as importing MLflow costs seconds and 200 MB.
Where the two disagree, the latest event wins.
"""

import asyncio
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.foundation.errors import PipelineError
from pipeline.foundation.workspace import CANDIDATES
from pipeline.inference.exported_model import EXPORT_FILE, POINTER_FILE, ExportedModel, published
from pipeline.serving.refusals import describe_defect
from pipeline.serving.responses import Schema
from pipeline.serving.served_model import ModelSwitch
from pipeline.serving.workers.pool import Report

POLL_SECONDS = 1.0
"""How often the server looks for something new."""
RETRY_SECONDS = 30.0
"""After an export that could not be served, and after a watcher that has ended."""


_Subject = Literal["model", "registry"]


class Following(Schema):
    """Whether the server follows what is published and the registry's champion, and what prevents it.

    `champion_version` is known while the registry is watched; `problem` says why the model that should answer
    does not, or why it is not known which one should.
    """

    published: bool = False
    registry: bool = False
    champion_version: int | None = None
    problem: str | None = None


class _Said(Schema):
    """A line of the watcher: the version that is champion, or why it is not known."""

    version: int | None = None
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class _Wanted:
    """The export that should answer, and since which event."""

    folder: Path
    why: Literal["published", "champion"]


class Follower:
    """Switches to what was published or promoted."""

    def __init__(
        self, exports: Path, switch: ModelSwitch, watcher: Sequence[str] | None, report: Report
    ) -> None:
        """Prepare to follow.

        Args:
          exports: the folder with the pointer and `<name>/<version>/`.
          switch: is told what to serve.
          watcher: command that watches the registry, to which the model's name is added, and prints
            what pipeline.tracking.registry.watching prints; None: the registry is not watched.
          report: writes to the log.
        """
        self.state = Following(published=True)
        self._exports = exports
        self._switch = switch
        self._watcher = watcher
        self._report = report
        self._last_published = self._published()
        self._wanted: _Wanted | None = None
        self._not_before = 0.0  # time.monotonic() of the next attempt
        # Why the model that should answer does not, and why it is not known which model should.
        self._problems: dict[_Subject, str] = {"model": "", "registry": ""}
        self._logged = dict(self._problems)

    async def run(self) -> None:
        """Follow until canceled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow())
                if self._watcher is not None:
                    tasks.create_task(self._follow_registry(self._watcher))
        except* Exception as errors:  # the model goes on answering, and people can see why it stays
            self.state.published = self.state.registry = False
            kinds = ", ".join(type(each).__name__ for each in errors.exceptions)
            self._tell("model", "following has ended", kinds)

    async def _follow(self) -> None:
        failed = False
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self._look()
                if failed and self._wanted is None:
                    self._tell("model", "")
                failed = False
            except Exception as error:  # a defect: the model goes on answering, and the next look may go well
                self._tell("model", "following has failed", describe_defect(error))
                self._not_before = time.monotonic() + RETRY_SECONDS
                failed = True

    async def _look(self) -> None:
        event = self._published()
        if event is not None and event != self._last_published:
            self._last_published = event
            self._want(_Wanted(event[1], "published"))
        if self._wanted is not None and time.monotonic() >= self._not_before:
            await self._reach(self._wanted)

    def _published(self) -> tuple[int, Path] | None:
        """When something was last published, in nanoseconds, and its folder."""
        try:
            folder = published(self._exports)
            return (self._exports / POINTER_FILE).stat().st_mtime_ns, folder
        except (PipelineError, OSError):
            return None  # missing or damaged: the model that answers stays

    def _want(self, wanted: _Wanted | None) -> None:
        self._wanted, self._not_before = wanted, 0.0
        if wanted is None:
            self._tell("model", "")

    async def _reach(self, wanted: _Wanted) -> None:
        """Make the wanted export answer if possible; otherwise it stays wanted."""
        name, version = wanted.folder.parts[-2:]
        if wanted.why == "champion" and not (wanted.folder / EXPORT_FILE).exists():
            self._tell(
                "model",
                f"the champion of {name} is version {version}, which is not exported here; "
                f"run python -m pipeline export models:/{name}@champion",
            )
            return
        try:
            # An export that is published and becomes champion is wanted twice.
            if ExportedModel.load(wanted.folder) != self._switch.current.exported:
                self._report("switching", why=wanted.why, to=f"{name}/{version}")
                await self._switch.switch(wanted.folder)
        except (PipelineError, OSError, ValueError) as error:
            reason = error.what if isinstance(error, PipelineError) else str(error)
            self._tell("model", f"{name}/{version} cannot be served", reason)
            self._not_before = time.monotonic() + RETRY_SECONDS  # memory may have been short
            return
        if self._wanted is wanted:  # and no later event has come in the meantime
            self._want(None)

    async def _follow_registry(self, watcher: Sequence[str]) -> None:
        """Keep a watcher running for the model that answers, as long as it is a registered one."""
        while True:
            name = self._switch.current.exported.name
            if is_registered(name):
                try:
                    await self._watch(watcher, name)
                except OSError as error:
                    self._tell("registry", "the registry cannot be watched", str(error.strerror))
                except Exception as error:  # a defect, or a watcher that says what it should not
                    self._tell("registry", "watching has failed", describe_defect(error))
            unchanged = self._switch.current.exported.name == name
            await asyncio.sleep(RETRY_SECONDS if is_registered(name) and unchanged else POLL_SECONDS)

    async def _watch(self, watcher: Sequence[str], name: str) -> None:
        """Listen to a watcher until it ends or a model of another name answers."""
        process = await asyncio.create_subprocess_exec(
            *watcher, name, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
        )
        self.state.registry = True
        self._tell("registry", "")
        try:
            while self._switch.current.exported.name == name:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        line = await _line(process)
                    if not line:
                        command = " ".join((*watcher, name))
                        self._tell("registry", "the watcher of the registry has ended", f"see {command}")
                        return
                    self._heard(name, _Said.model_validate_json(line))
        finally:
            self.state.registry = False
            self.state.champion_version = None
            await _end(process)

    def _heard(self, name: str, said: _Said) -> None:
        """Take in a new champion, that there is none anymore, or why it is not known."""
        if said.problem is not None:
            self._tell("registry", "the registry cannot be read", said.problem)
            return
        self._tell("registry", "")
        version = self.state.champion_version = said.version
        current = self._switch.current.exported
        champion_wanted = self._wanted is not None and self._wanted.why == "champion"
        # A champion that is being loaded will answer; after a rollback, the one before is wanted again.
        if version is not None and (champion_wanted or (current.name, current.version) != (name, version)):
            self._want(_Wanted(self._exports / name / str(version), "champion"))
        elif champion_wanted:
            self._want(None)  # there is none anymore

    def _tell(self, about: _Subject, problem: str, reason: str = "") -> None:
        """Show people a problem, or with an empty text that it is solved; log it when it is new.

        The log alone has the reason: it may name folders, and anybody may ask whether the server is ready.
        """
        logged = ": ".join(filter(None, (problem, reason)))
        if logged and logged != self._logged[about]:
            self._report("not followed", problem=logged)
        self._logged[about], self._problems[about] = logged, problem
        self.state.problem = self._problems["model"] or self._problems["registry"] or None


def is_registered(name: str) -> bool:
    """Whether an export of this name is of a registered model; others have the name of a candidate."""
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
