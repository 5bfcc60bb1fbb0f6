"""The workers of one exported model, as the server sees them.

A pool of the standard library cannot give up on a job that hangs: threads cannot be stopped, and a
ProcessPoolExecutor breaks as a whole when one of its processes dies. Here a worker that takes too long,
or dies, costs its own job, and another takes its place.
"""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.foundation.errors import PipelineError
from pipeline.serving.limits import Limits
from pipeline.serving.messages import LENGTHS, Frame, Refused, refused_for_now

_START_SECONDS = 60.0
_RETRY_SECONDS = 1.0

Report = Callable[..., None]
"""Writes an event with its fields to the log."""


@dataclass(frozen=True, eq=False)
class _Worker:
    """Attributes:
    process: the worker.
    reading: held by whoever reads what it says.
    """

    process: Process
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def ask(self, job: Frame) -> Frame:
        """Raises EOFError or OSError where the worker has died."""
        stdin = self.process.stdin
        assert stdin is not None
        stdin.write(job.encoded_head())
        stdin.write(job.data)
        await stdin.drain()
        return await self.read()

    async def read(self) -> Frame:
        stdout = self.process.stdout
        assert stdout is not None
        async with self.reading:
            header_length, data_length = LENGTHS.unpack(await stdout.readexactly(LENGTHS.size))
            header = json.loads(await stdout.readexactly(header_length))
            return Frame(header, await stdout.readexactly(data_length))

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        assert self.process.stdin is not None
        self.process.stdin.close()
        # Whoever still reads comes to the end now; asyncio closes a pipe only when it was read that far.
        async with self.reading:
            await self.process.communicate()


def worker_command(folder: Path, format_name: str, limits: Limits) -> tuple[str, ...]:
    """What starts a worker for one format of the export in `folder`."""
    arguments = (str(folder), format_name, str(limits.pixels), str(limits.images))
    return (sys.executable, "-m", "pipeline.serving.worker", *arguments)


class WorkerPool:
    """Processes that each hold the same exported model and run one job at a time."""

    def __init__(self, command: Sequence[str], limits: Limits, report: Report) -> None:
        """`command` starts one worker."""
        self._command = command
        self._limits = limits
        self._report = report
        self._idle: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        self._workers: set[_Worker] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def alive(self) -> int:
        """How many workers there are at this moment."""
        return len(self._workers)

    async def start(self) -> None:
        """Start all workers; they are warm when this returns.

        Raises:
          PipelineError: the model cannot be loaded. No worker is left over then.
        """
        starting = [self._add() for _ in range(self._limits.workers)]
        try:
            # All of them come to their end, so that none is left half started.
            for outcome in await asyncio.gather(*starting, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
        except BaseException:
            await self.close()
            raise

    async def run(self, job: Frame) -> Frame:
        """Have a worker do a job.

        Raises:
          Refused: as the worker says; 422 where it took too long, or two workers died of the job; 503
            where no worker became free in time.
        """
        answer = await self._ask(job)
        if answer is None:  # the worker may have died of something else, such as the system's lack of memory
            answer = await self._ask(job)
        if answer is None:
            raise Refused(422, "the server gave up on it: it brought the decoder down")
        if answer.header["status"] != 200:
            if "defect" in answer.header:
                self._report("defect", what=answer.header["defect"])
            raise Refused(answer.header["status"], answer.header["reason"])
        return answer

    async def _ask(self, job: Frame) -> Frame | None:
        """What a worker answers; None where it has died."""
        seconds = self._limits.work_seconds
        worker = await self._free_worker(seconds)
        try:
            async with asyncio.timeout(seconds):
                answer = await worker.ask(job)
        except TimeoutError:
            self._replace(worker, "took too long")
            raise Refused(422, f"the server gave up on it after {seconds:g} s") from None
        except (EOFError, OSError):
            self._replace(worker, "died")
            return None
        except BaseException:  # cancelled: its answer would be taken for that of the next job
            self._replace(worker, "was interrupted")
            raise
        self._idle.put_nowait(worker)
        return answer

    async def close(self) -> None:
        """End all workers, also one that is busy."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        workers, self._workers = self._workers, set()
        await asyncio.gather(*(worker.end() for worker in workers))

    async def _free_worker(self, seconds: float) -> _Worker:
        try:
            async with asyncio.timeout(seconds):
                return await self._idle.get()
        except TimeoutError:
            raise refused_for_now(503, "the server has too much to do") from None

    async def _add(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
        )
        worker = _Worker(process)
        try:
            ready = await asyncio.wait_for(worker.read(), _START_SECONDS)
        except (EOFError, TimeoutError):
            await worker.end()
            raise PipelineError(
                "A worker of the server does not start.",
                remedy=f"see what it says: {' '.join(self._command)} </dev/null",
            ) from None
        except BaseException:
            await worker.end()
            raise
        if ready.header["status"] != 200:
            await worker.end()
            raise PipelineError(ready.header["reason"])
        self._workers.add(worker)
        self._idle.put_nowait(worker)

    def _replace(self, worker: _Worker, why: str) -> None:
        self._report("worker replaced", why=why)
        self._workers.discard(worker)
        task = asyncio.create_task(self._end_and_add(worker))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end_and_add(self, worker: _Worker) -> None:
        await worker.end()
        while not self._closed:
            try:
                await self._add()
                return
            except PipelineError as error:
                self._report("worker does not start", why=error.what)
                await asyncio.sleep(_RETRY_SECONDS)
