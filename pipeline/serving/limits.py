"""What one request, one client and all of them together may cost."""

import os
from dataclasses import dataclass

MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The server's limits; whatever exceeds one is refused with the status in parentheses.

    Attributes:
      workers: processes that decode and predict; each runs one job at a time.
      body_bytes: of one request (413).
      images: in one request (413).
      pixels: of one image, as its header states them (422).
      receive_seconds: for a request to arrive once it has begun (408), and for a client to take its answer
        (the connection is cut).
      work_seconds: for a worker to answer (422, and the worker is replaced), and as long again for a
        request to wait for a worker (503).
      requests: at once, from all clients (503).
      requests_per_client: at once, from one address (429).
      connections: at once (503), and from one address (503).
      buffered_bytes: of all requests that are being received or answered (503).
    """

    workers: int = min(4, os.cpu_count() or 1)
    body_bytes: int = 32 * MEGABYTE
    images: int = 256
    pixels: int = 25_000_000
    receive_seconds: float = 60.0
    work_seconds: float = 10.0
    requests: int = 512
    requests_per_client: int = 64
    connections: int = 1000
    connections_per_client: int = 128
    buffered_bytes: int = 256 * MEGABYTE
