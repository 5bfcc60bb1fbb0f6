"""Work on many images with all cores, in order and with bounded memory.

Threads, not processes: Pillow, zlib and hashlib release the interpreter lock while they work, and
threads need no copying of images between processes. Results come back in the order of the items, so
that the number of cores never shows in what is written.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_BATCH = 8
"""Items per task: enough to hide a task's overhead, few enough that a queue of photographs stays small."""

_BATCHES_PER_WORKER = 3
_SECONDS_BETWEEN_LINES = 3.0


def available_cores() -> int:
    """The number of cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def ordered_map(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> Iterator[_Result]:
    """`map(function, items)` on all cores, with few results waiting at any time.

    The first exception that `function` raises ends the iteration.
    """

    def work(batch: Sequence[_Item]) -> list[_Result]:
        return [function(item) for item in batch]

    workers = available_cores()
    executor = ThreadPoolExecutor(workers, thread_name_prefix="images")
    waiting: deque[Future[list[_Result]]] = deque()
    try:
        for start in range(0, len(items), _BATCH):
            waiting.append(executor.submit(work, items[start : start + _BATCH]))
            if len(waiting) > workers * _BATCHES_PER_WORKER:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def with_progress(items: Iterable[_Item], total: int, doing: str) -> Iterator[_Item]:
    """Pass the items on; print a line every few seconds, none where all are done before the first is due."""
    last = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            print(f"{doing}: {count:,} of {total:,}", flush=True)
