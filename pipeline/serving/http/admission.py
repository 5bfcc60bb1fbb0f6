"""Who may come in: requests at once, requests of one client, and the memory that they hold together."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.serving.limits import Limits
from pipeline.serving.workers.messages import refused_for_now


class Admission:
    """Counts the requests that upload something, from their first byte to the end of their answer."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requests: Counter[str] = Counter()
        self._buffered = 0

    @contextmanager
    def admit(self, client: str) -> Iterator["Buffered"]:
        """Let a request of `client` (an address) in.

        Raises:
          Refused: 429 where the client has too many requests under way, 503 where all have.
        """
        if self._requests[client] >= self._limits.requests_per_client:
            raise refused_for_now(429, "too many requests at once from this address")
        if self._requests.total() >= self._limits.requests:
            raise refused_for_now(503, "the server has too much to do")
        self._requests[client] += 1
        buffered = Buffered(self)
        try:
            yield buffered
        finally:
            self._buffered -= buffered.size
            self._requests[client] -= 1
            if not self._requests[client]:
                del self._requests[client]

    def _reserve(self, size: int) -> None:
        if self._buffered + size > self._limits.buffered_bytes:
            raise refused_for_now(503, "the server has too much to do")
        self._buffered += size


class Buffered:
    """The bytes that one request holds in memory."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.size = 0

    def add(self, size: int) -> None:
        """Raises Refused (503) where all requests together would hold too much."""
        self._admission._reserve(size)
        self.size += size
