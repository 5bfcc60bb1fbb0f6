"""Work on many images with all cores, in order and with bounded memory.

Threads, not processes: Pillow, zlib and hashlib release the interpreter lock while they work, and
threads need no copying of images between processes. Results come back in the order of the items, so
that the number of cores never shows in what is written.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_BATCH = 8
"""Items per task: enough to hide a task's overhead, few enough that a queue of photographs stays small."""

_BATCHES_PER_WORKER = 3
DECODING_BYTES_PER_PIXEL = 8
"""Pillow keeps four bytes for a pixel, and an image that is converted is there twice for a moment."""

_BYTES_WAITING = 1 << 27
"""What all items in work, and results that wait, may take together."""
_SECONDS_BETWEEN_LINES = 3.0


def available_cores() -> int:
    """The number of cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


class MemoryBudget:
    """Memory that threads share: who needs more than is free waits."""

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._freed = threading.Condition()

    @contextmanager
    def reserved(self, size: int) -> Iterator[None]:
        """Have `size` bytes while the block runs; whoever needs more than all gets all."""
        size = min(size, self._size)
        with self._freed:
            self._freed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            with self._freed:
                self._free += size
                self._freed.notify_all()


def ordered_map(
    function: Callable[[_Item], _Result], items: Sequence[_Item], size: Callable[[_Item], int]
) -> Iterator[_Result]:
    """`map(function, items)` on all cores, with few results waiting at any time.

    Args:
      function: the first exception that it raises ends the iteration.
      items: what it is called with.
      size: bytes that an item takes from when work on it begins until its result is used.
    """

    def work(batch: Sequence[_Item]) -> list[_Result]:
        return [function(item) for item in batch]

    workers = available_cores()
    executor = ThreadPoolExecutor(workers, thread_name_prefix="images")
    waiting: deque[tuple[Future[list[_Result]], int]] = deque()
    taken = 0
    try:
        for batch, needed in _batches(items, size):
            while waiting and (
                taken + needed > _BYTES_WAITING or len(waiting) > workers * _BATCHES_PER_WORKER
            ):
                first, freed = waiting.popleft()
                yield from first.result()
                taken -= freed
            waiting.append((executor.submit(work, batch), needed))
            taken += needed
        while waiting:
            yield from waiting.popleft()[0].result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _batches(items: Sequence[_Item], size: Callable[[_Item], int]) -> Iterator[tuple[Sequence[_Item], int]]:
    """Items in their order, few enough at a time, with the bytes that they need; a large one stands alone."""
    batch: list[_Item] = []
    needed = 0
    for item in items:
        of_item = size(item)
        if batch and (len(batch) == _BATCH or needed + of_item > _BYTES_WAITING // _BATCH):
            yield batch, needed
            batch, needed = [], 0
        batch.append(item)
        needed += of_item
    if batch:
        yield batch, needed


def with_progress(items: Iterable[_Item], total: int, doing: str) -> Iterator[_Item]:
    """Pass the items on; print a line every few seconds, none where all are done before the first is due."""
    last = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            print(f"{doing}: {count:,} of {total:,}", flush=True)
