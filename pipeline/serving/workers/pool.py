"""The workers of one exported model, as the server sees them.

A pool of the standard library cannot give up on a job that hangs: threads cannot be stopped, and a
ProcessPoolExecutor breaks as a whole when one of its processes dies. Here a worker that takes too long,
or dies, costs its own job, and another takes its place.
"""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline.foundation.array_types import Float32
from pipeline.foundation.errors import PipelineError
from pipeline.serving.limits import Limits
from pipeline.serving.refusals import Refused, refused_for_now
from pipeline.serving.workers.messages import LENGTHS, Job, Outcome, Reply, frame_head, read_reply

BUNDLE_IMAGES = 8
"""Images that wait for a worker go to it together, up to this many, as waking it up costs as much as decoding
one. More are not faster (`benchmarks/serving.py`), and the first of them waits for the last."""
_BUNDLED_BYTES = 64_000
"""Larger files go alone: others should not wait for them."""
_START_SECONDS = 60.0
_RETRY_SECONDS = 1.0


class Report(Protocol):
    def __call__(self, event: str, **fields: object) -> None:
        """Write an event with its fields to the log."""


@dataclass(frozen=True, eq=False)
class _WorkerProcess:
    """A worker; `reading` is held while somebody reads what it says."""

    process: Process
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def ask(self, job: Job) -> Reply:
        """Raises EOFError or OSError where the worker has died."""
        stdin = self.process.stdin
        assert stdin is not None
        stdin.write(b"".join((frame_head(job), job.data)))  # two writes would wake the worker twice
        await stdin.drain()
        return await self.read()

    async def read(self) -> Reply:
        stdout = self.process.stdout
        assert stdout is not None
        async with self.reading:
            header_length, data_length = LENGTHS.unpack(await stdout.readexactly(LENGTHS.size))
            header = await stdout.readexactly(header_length)
            return read_reply(header, await stdout.readexactly(data_length))

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        assert self.process.stdin is not None
        self.process.stdin.close()
        # A reader that still waits gets the end now; asyncio closes a pipe only when it was read that far.
        async with self.reading:
            await self.process.communicate()


@dataclass(frozen=True, eq=False)
class _WaitingImage:
    """Attributes:
    data: of the file.
    probabilities: of its classes, or why there are none.
    expiry: refuses it when it has waited for too long.
    """

    data: bytes
    probabilities: asyncio.Future[Float32[np.ndarray, " k"]]
    expiry: asyncio.TimerHandle

    # Its request may have been canceled meanwhile.
    def settle(self, probabilities: Float32[np.ndarray, " k"]) -> None:
        if not self.probabilities.done():
            self.probabilities.set_result(probabilities)

    def refuse(self, why: Exception) -> None:
        if not self.probabilities.done():
            self.probabilities.set_exception(why)


def worker_command(folder: Path, format_name: str, limits: Limits) -> tuple[str, ...]:
    """What starts a worker for one format of the export in `folder`."""
    arguments = (str(folder), format_name, str(limits.pixels), str(limits.images))
    return (sys.executable, "-m", "pipeline.serving.workers.worker", *arguments)


class WorkerPool:
    """Processes that each hold the same exported model and run one job at a time."""

    def __init__(self, command: Sequence[str], limits: Limits, report: Report) -> None:
        """`command` starts one worker."""
        self._command = command
        self._limits = limits
        self._report = report
        self._idle: asyncio.LifoQueue[_WorkerProcess] = asyncio.LifoQueue()
        self._workers: set[_WorkerProcess] = set()
        self._ending: set[_WorkerProcess] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._images: asyncio.Queue[_WaitingImage] = asyncio.Queue()
        self._bundlers: list[asyncio.Task[None]] = []
        self._closed = False

    @property
    def alive(self) -> int:
        """How many workers there are at this moment."""
        return sum(worker.process.returncode is None for worker in self._workers)

    async def start(self) -> None:
        """Start all workers; they are warm when this returns.

        Raises:
          PipelineError: the model cannot be loaded. No worker is left over then.
        """
        starting = [self._add() for _ in range(self._limits.workers)]
        try:
            # All of them are awaited, so that none is left half started.
            for outcome in await asyncio.gather(*starting, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
        except BaseException:
            await self.close()
            raise
        self._bundlers = [asyncio.create_task(self._classify_waiting()) for _ in starting]

    async def run(self, job: Job) -> Reply:
        """Have a worker do a job.

        Raises:
          Refused: as the worker says; 422 where it took too long, or two workers died of the job; 503
            where no worker became free in time.
        """
        reply = await self._ask(await self._free_worker(), job)
        if reply is None:  # the worker may have died of something else, such as the system's lack of memory
            reply = await self._ask(await self._free_worker(), job)
        if reply is None:
            raise Refused(422, "the server gave up on it: it brought the decoder down")
        self._require_success(reply.outcome)
        return reply

    async def classify(self, image: bytes) -> Float32[np.ndarray, " k"]:
        """Class probabilities of an image file. Raises Refused as `run` does."""
        if len(image) > _BUNDLED_BYTES:
            return await self._classify_alone(image)
        loop = asyncio.get_running_loop()

        def expire() -> None:
            waiting.refuse(_too_much_to_do())

        expiry = loop.call_later(self._limits.work_seconds, expire)
        waiting = _WaitingImage(image, loop.create_future(), expiry)
        self._images.put_nowait(waiting)
        try:
            return await waiting.probabilities
        finally:
            expiry.cancel()

    async def _classify_alone(self, image: bytes) -> Float32[np.ndarray, " k"]:
        reply = await self.run(Job.of_images([image]))
        self._require_success(reply.images[0])
        return np.frombuffer(reply.data, "<f4")

    async def _classify_waiting(self) -> None:
        """Give waiting images to a worker that becomes free, forever; there is one such task per worker."""
        while True:
            first = await self._images.get()
            worker = await self._idle_worker()
            bundle = self._bundle(first)
            if not bundle:
                self._idle.put_nowait(worker)
                continue
            try:
                await self._classify_bundle(worker, bundle)
            except Exception as error:  # a defect, which their requests report
                for waiting in bundle:
                    waiting.refuse(error)

    def _bundle(self, first: _WaitingImage) -> list[_WaitingImage]:
        """The images to classify now; those that have expired meanwhile are left out."""
        bundle = [first]
        while len(bundle) < BUNDLE_IMAGES and not self._images.empty():
            bundle.append(self._images.get_nowait())
        bundle = [waiting for waiting in bundle if not waiting.probabilities.done()]
        for waiting in bundle:
            waiting.expiry.cancel()
        return bundle

    async def _classify_bundle(self, worker: _WorkerProcess, bundle: list[_WaitingImage]) -> None:
        try:
            reply = await self._ask(worker, Job.of_images([waiting.data for waiting in bundle]))
        except Refused as refusal:
            if len(bundle) == 1:
                bundle[0].refuse(refusal)
                return
            reply = None
        if reply is None:  # one of them is to blame, and the others should not be refused with it
            for waiting in bundle:
                try:
                    waiting.settle(await self._classify_alone(waiting.data))
                except Refused as refusal:
                    waiting.refuse(refusal)
            return
        classified = sum(outcome.status == 200 for outcome in reply.images)
        rows = iter(np.frombuffer(reply.data, "<f4").reshape(max(1, classified), -1))
        for waiting, outcome in zip(bundle, reply.images, strict=True):
            try:
                self._require_success(outcome)
            except Refused as refusal:
                waiting.refuse(refusal)
            else:
                waiting.settle(next(rows))

    def _require_success(self, outcome: Outcome) -> None:
        """Raises Refused where a worker has refused something."""
        if outcome.status != 200:
            if outcome.defect:
                self._report("defect", what=outcome.defect)
            raise Refused(outcome.status, outcome.reason)

    async def _ask(self, worker: _WorkerProcess, job: Job) -> Reply | None:
        """What a worker replies; None where it has died. Raises Refused where it took too long."""
        seconds = self._limits.work_seconds
        try:
            async with asyncio.timeout(seconds):
                reply = await worker.ask(job)
        except TimeoutError:
            self._replace(worker, "took too long")
            raise Refused(422, f"the server gave up on it after {seconds:g} s") from None
        except (EOFError, OSError):
            self._replace(worker, "died")
            return None
        except BaseException:  # canceled: its reply would be taken for that of the next job
            self._replace(worker, "was interrupted")
            raise
        self._idle.put_nowait(worker)
        return reply

    async def close(self) -> None:
        """End all workers, even one that is busy."""
        self._closed = True
        for tasks in (self._bundlers, self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        workers, self._workers = self._workers | self._ending, set()
        await asyncio.gather(*(worker.end() for worker in workers))

    async def _free_worker(self) -> _WorkerProcess:
        try:
            async with asyncio.timeout(self._limits.work_seconds):
                return await self._idle_worker()
        except TimeoutError:
            raise _too_much_to_do() from None

    async def _idle_worker(self) -> _WorkerProcess:
        """One that is alive; each that has died while it was idle would cost a job."""
        while True:
            worker = await self._idle.get()
            if worker.process.returncode is None:
                return worker
            self._replace(worker, "died")

    async def _add(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL
        )
        worker = _WorkerProcess(process)
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
        if ready.outcome.status != 200:
            await worker.end()
            raise PipelineError(ready.outcome.reason)
        self._workers.add(worker)
        self._idle.put_nowait(worker)
        self._keep(self._watch(worker))

    async def _watch(self, worker: _WorkerProcess) -> None:
        """Replace a worker that dies while idle: nobody sends requests to a server that is not ready."""
        await worker.process.wait()
        if not self._closed:
            self._replace(worker, "died")

    def _replace(self, worker: _WorkerProcess, why: str) -> None:
        if worker not in self._workers:
            return  # already being replaced: its watcher and its user notice the same death
        self._report("worker replaced", why=why)
        self._workers.discard(worker)
        self._ending.add(worker)
        self._keep(self._end_and_add(worker))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it beside everything else, until the pool is closed."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end_and_add(self, worker: _WorkerProcess) -> None:
        await worker.end()
        self._ending.discard(worker)
        while not self._closed:
            try:
                await self._add()
                return
            except (PipelineError, OSError) as error:  # the latter where memory or processes are short
                self._report("worker does not start", why=getattr(error, "what", None) or str(error))
                await asyncio.sleep(_RETRY_SECONDS)


def _too_much_to_do() -> Refused:
    return refused_for_now(503, "the server has too much to do")
