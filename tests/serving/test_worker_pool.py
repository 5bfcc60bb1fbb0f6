"""Workers that hang, die or cannot start cost their own job and nothing else."""

import asyncio
import errno
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pipeline.foundation.array_types import Float32
from pipeline.foundation.errors import PipelineError
from pipeline.serving.http.event_log import EventLog
from pipeline.serving.limits import Limits
from pipeline.serving.refusals import Refused
from pipeline.serving.workers import pool as pool_module
from pipeline.serving.workers.messages import Job
from pipeline.serving.workers.pool import BUNDLE_IMAGES, WorkerPool

Events = list[str]
STUB = (sys.executable, str(Path(__file__).with_name("stub_worker.py")))


@pytest.fixture(autouse=True)
def _find_the_pipeline(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(project))


@asynccontextmanager
async def running(workers: int = 1, work_seconds: float = 20.0) -> AsyncIterator[tuple[WorkerPool, Events]]:
    """A pool of stubs, and the events that it reports."""
    events: Events = []

    def report(event: str, **fields: object) -> None:
        events.append(f"{event}: {fields.get('why', '')}")

    pool = WorkerPool(STUB, Limits(workers=workers, work_seconds=work_seconds), report)
    await pool.start()
    try:
        yield pool, events
    finally:
        await pool.close()


def job(order: str) -> Job:
    return Job(order.encode())


def first_bytes(probabilities: Float32[np.ndarray, " k"]) -> bytes:
    """Of an image, as the stub repeats them."""
    return probabilities.tobytes()[:4]


def bundle_size(probabilities: Float32[np.ndarray, " k"]) -> int:
    """How many images came to the stub together."""
    return probabilities.tobytes()[4]


def test_jobs_go_to_several_workers_and_each_gets_its_own_answer() -> None:
    async def scenario() -> None:
        async with running(workers=3) as (pool, _):
            orders = [f"sleep 0.0{number % 7} {number}" for number in range(60)]
            answers = await asyncio.gather(*(pool.run(job(order)) for order in orders))
        assert [bytes(answer.data).decode() for answer in answers] == orders
        assert len({answer.answer_key for answer in answers}) == 3

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("order", "work_seconds", "happened", "reason"),
    [
        ("hang", 0.5, ["worker replaced: took too long"], "gave up on it after 0.5 s"),
        ("die", 20, ["worker replaced: died"] * 2, "brought the decoder down"),
    ],
)
def test_a_job_that_ends_workers_is_refused_and_another_takes_over(
    order: str, work_seconds: float, happened: Events, reason: str
) -> None:
    async def scenario() -> None:
        async with running(work_seconds=work_seconds) as (pool, events):
            first = (await pool.run(job("x"))).answer_key
            with pytest.raises(Refused, match=reason) as refused:
                await pool.run(job(order))
            assert refused.value.status == 422
            while pool.alive == 0:
                await asyncio.sleep(0.01)
            assert (await pool.run(job("x"))).answer_key != first
            assert events == happened
            assert not psutil.pid_exists(int(first))

    asyncio.run(scenario())


def test_a_worker_that_died_while_idle_does_not_cost_a_job() -> None:
    async def scenario() -> None:
        async with running(workers=2) as (pool, events):
            pid = (await pool.run(job("x"))).answer_key
            os.kill(int(pid), signal.SIGKILL)
            assert [(await pool.run(job("x"))).data for _ in range(3)] == [b"x"] * 3
            assert events == ["worker replaced: died"]

    asyncio.run(scenario())


def test_workers_that_die_while_idle_are_replaced_and_not_counted() -> None:
    """Without being asked for anything: nobody asks a server that is not ready."""

    async def scenario() -> None:
        async with running(workers=3) as (pool, events):
            orders = [job("sleep 0.2") for _ in range(3)]
            pids = {answer.answer_key for answer in await asyncio.gather(*map(pool.run, orders))}
            for pid in pids:
                os.kill(int(pid), signal.SIGKILL)
            while pool.alive:
                await asyncio.sleep(0.001)
            assert (await pool.run(job("x"))).answer_key not in pids
            while pool.alive < 3:
                await asyncio.sleep(0.01)
            assert events == ["worker replaced: died"] * 3

    asyncio.run(scenario())


def test_a_worker_that_the_system_cannot_start_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_RETRY_SECONDS", 0.01)

    async def scenario() -> None:
        async with running() as (pool, events):
            start, failures = asyncio.create_subprocess_exec, [OSError(errno.EAGAIN, "no process is left")]

            async def short_of_processes(*arguments: Any, **options: Any) -> Any:
                if failures:
                    raise failures.pop()
                return await start(*arguments, **options)

            monkeypatch.setattr(asyncio, "create_subprocess_exec", short_of_processes)
            os.kill(int((await pool.run(job("x"))).answer_key), signal.SIGKILL)
            while pool.alive:
                await asyncio.sleep(0.001)
            assert (await pool.run(job("x"))).data == b"x"
            assert events == [
                "worker replaced: died",
                f"worker does not start: [Errno {errno.EAGAIN}] no process is left",
            ]

    asyncio.run(scenario())


def test_what_a_worker_refuses_is_refused_and_the_worker_stays() -> None:
    async def scenario() -> None:
        async with running() as (pool, events):
            pid = (await pool.run(job("x"))).answer_key
            with pytest.raises(Refused, match="no image") as refused:
                await pool.run(job("refuse"))
            assert refused.value.status == 415
            assert (await pool.run(job("x"))).answer_key == pid
            assert events == []

    asyncio.run(scenario())


def test_who_waits_too_long_for_a_worker_may_come_again() -> None:
    async def scenario() -> None:
        pool = WorkerPool(STUB, Limits(work_seconds=0.1), EventLog(sys.stdout))  # not started: nobody is free
        with pytest.raises(Refused, match="too much to do") as refused:
            await pool.run(job("x"))
        assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})

    asyncio.run(scenario())


def test_the_answer_to_a_canceled_job_is_not_given_to_the_next() -> None:
    async def scenario() -> None:
        async with running() as (pool, _):
            task = asyncio.create_task(pool.run(job("sleep 0.3 first")))
            await asyncio.sleep(0.1)
            task.cancel()
            assert (await pool.run(job("second"))).data == b"second"

    asyncio.run(scenario())


def test_images_that_wait_go_together_and_each_gets_its_own_answer() -> None:
    async def scenario() -> None:
        async with running() as (pool, _):
            images = [b"%04d" % number for number in range(30)]
            answers = await asyncio.gather(*map(pool.classify, images))
            large = await pool.classify(b"long" + bytes(100_000))
        assert [first_bytes(answer) for answer in answers] == images
        assert max(map(bundle_size, answers)) == BUNDLE_IMAGES
        assert (first_bytes(large), bundle_size(large)) == (b"long", 1)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("order", "status", "happened"),
    [
        (b"refuse", 415, []),
        (b"die", 422, ["worker replaced: died"]),
        (b"hang", 422, ["worker replaced: took too long"]),
    ],
)
def test_an_image_does_not_harm_those_that_it_came_with(order: bytes, status: int, happened: Events) -> None:
    async def scenario() -> None:
        async with running(work_seconds=20 if order != b"hang" else 1.5) as (pool, events):
            first = asyncio.create_task(pool.run(job("sleep 0.3")))  # so that the others wait
            await asyncio.sleep(0.1)
            tasks = [asyncio.create_task(pool.classify(image)) for image in (b"one", b"two", order, b"four")]
            with pytest.raises(Refused) as refused:
                await tasks.pop(2)
            assert refused.value.status == status
            assert [first_bytes(await task) for task in tasks] == [b"one ", b"two ", b"four"]
            await first
            assert set(events) == set(happened)

    asyncio.run(scenario())


def test_an_image_that_waits_too_long_may_come_again() -> None:
    async def scenario() -> None:
        async with running(work_seconds=0.4) as (pool, _):
            hanging = asyncio.create_task(pool.run(job("hang")))
            await asyncio.sleep(0.02)
            with pytest.raises(Refused, match="too much to do") as refused:
                await pool.classify(b"x")
            assert refused.value.status == 503
            with pytest.raises(Refused, match="gave up"):
                await hanging

    asyncio.run(scenario())


def test_an_image_whose_request_was_canceled_does_not_disturb_others() -> None:
    async def scenario() -> None:
        async with running() as (pool, events):
            first = asyncio.create_task(pool.run(job("sleep 0.3")))
            await asyncio.sleep(0.1)
            tasks = [asyncio.create_task(pool.classify(image)) for image in (b"one", b"two", b"four")]
            await asyncio.sleep(0.05)
            tasks[1].cancel()
            answers = [await tasks[0], await tasks[2]]
            assert [first_bytes(answer) for answer in answers] == [b"one ", b"four"]
            assert [bundle_size(answer) for answer in answers] == [2, 2]
            await first
            assert events == []

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("argument", "message"), [("broken", "the model is broken"), ("silent", "does not start")]
)
def test_a_pool_that_cannot_start_leaves_no_process_behind(argument: str, message: str) -> None:
    async def scenario() -> None:
        pool = WorkerPool((*STUB, argument), Limits(workers=2), EventLog(sys.stdout))
        with pytest.raises(PipelineError, match=message):
            await pool.start()

    before = set(psutil.Process().children(recursive=True))
    asyncio.run(scenario())
    assert set(psutil.Process().children(recursive=True)) <= before


def test_workers_end_with_their_server(tmp_path: Path) -> None:
    """Also when it is killed and can tell nobody."""
    program = f"""
import asyncio
from pipeline.serving.limits import Limits
from pipeline.serving.refusals import Refused
from pipeline.serving.workers.pool import WorkerPool

async def main():
    pool = WorkerPool({STUB!r}, Limits(workers=2), print)
    await pool.start()
    print("started", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
    process = psutil.Popen([sys.executable, "-c", program], stdout=-1)
    assert process.stdout.readline() == b"started\n"
    workers = process.children()
    assert len(workers) == 2
    process.kill()
    process.communicate()
    gone, alive = psutil.wait_procs(workers, timeout=10)
    assert (len(gone), alive) == (2, [])
