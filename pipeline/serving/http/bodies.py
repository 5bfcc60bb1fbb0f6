"""Bodies of requests: who may send one, and how it is received.

They are counted while they arrive and kept in memory only.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from pipeline.serving.http.connections import client_of
from pipeline.serving.limits import MEGABYTE, Limits
from pipeline.serving.refusals import Refused, refused_for_now

FIELD = "files"
"""Name of the form field that images come in."""


class Admission:
    """Counts the requests that upload something, from their first byte to the end of their answer."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requests: Counter[str] = Counter()
        self._buffered = 0

    @contextmanager
    def admit(self, request: Request) -> Iterator["Body"]:
        """Let a request in.

        Raises:
          Refused: 429 where its client (an address) has too many requests under way, 503 where all have.
        """
        client = client_of(request.client.host) if request.client else ""
        if self._requests[client] >= self._limits.requests_per_client:
            raise refused_for_now(429, "too many requests at once from this address")
        if self._requests.total() >= self._limits.requests:
            raise refused_for_now(503, "the server has too much to do")
        self._requests[client] += 1
        body = Body(request, self._limits, self)
        try:
            yield body
        finally:
            self._buffered -= body.size
            self._requests[client] -= 1
            if not self._requests[client]:
                del self._requests[client]

    def reserve(self, size: int) -> None:
        """Raises Refused (503) where all requests together would hold too many bytes."""
        if self._buffered + size > self._limits.buffered_bytes:
            raise refused_for_now(503, "the server has too much to do")
        self._buffered += size


@dataclass(frozen=True)
class Upload:
    """`name` is what the client calls the file; it goes back to the client and nowhere else."""

    name: str
    data: bytes


class Body:
    """The body of one request; `size` is what has arrived of it, in bytes."""

    def __init__(self, request: Request, limits: Limits, admission: Admission) -> None:
        self._request = request
        self._limits = limits
        self._admission = admission
        self.size = 0

    async def read(self) -> bytes:
        """All of it. Raises Refused: 408, 413, 503."""
        async with self._in_time():
            return b"".join([chunk async for chunk in self._chunks()])

    async def files(self) -> list[Upload]:
        """The files of a multipart form.

        Raises:
          Refused: 400, 408, 413, 503; 415 where it is not a multipart form, 422 where it holds no files.
        """
        content_type = self._request.headers.get("content-type", "")
        if not content_type.lower().startswith("multipart/form-data"):
            raise Refused(415, f"expected multipart/form-data with images in the field '{FIELD}'")
        parser = _Parser(self._request, self._chunks(), self._limits)
        try:
            async with self._in_time():
                form = await parser.parse()
        except MultiPartException as error:
            raise Refused(400, f"the multipart form is damaged: {error.message}") from None
        files = [part for name, part in form.multi_items() if name == FIELD and isinstance(part, UploadFile)]
        uploads = [Upload(file.filename or "", file.file.read()) for file in files]
        await form.close()
        if not uploads:
            raise Refused(422, f"no file in the field '{FIELD}'")
        return uploads

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        seconds = self._limits.receive_seconds
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            raise Refused(408, f"the request did not arrive within {seconds:g} s") from None

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives; ends with Refused (413, 503) at the first byte too many."""
        allowed = self._limits.body_bytes
        too_large = Refused(413, f"the request has more than {allowed / MEGABYTE:g} MB")
        if int(self._request.headers.get("content-length", "0")) > allowed:
            raise too_large
        async for chunk in self._request.stream():
            if self.size + len(chunk) > allowed:
                raise too_large
            self._admission.reserve(len(chunk))
            self.size += len(chunk)
            yield chunk


class _Parser(MultiPartParser):
    """Gives up at the first part too many, and on a form that was cut off: its last file would be missing.

    Names are UTF-8, as browsers send them, or else Latin-1. Other encodings, which a client could ask for,
    can fail to decode or yield half characters, which JSON cannot hold.
    """

    _parts = 0
    _ended = False

    def __init__(self, request: Request, chunks: AsyncGenerator[bytes, None], limits: Limits) -> None:
        super().__init__(request.headers, self._to_the_end(chunks), max_files=limits.images)
        # Larger files would be written to the disk, which must not happen to anything uploaded.
        self.spool_max_size = limits.body_bytes

    async def _to_the_end(self, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async for chunk in chunks:
            yield chunk
        if not self._ended:
            raise MultiPartException("it ends without its last boundary")

    @property
    def _charset(self) -> str:
        return "utf-8"

    @_charset.setter
    def _charset(self, value: str) -> None:
        pass

    def on_end(self) -> None:
        self._ended = True

    def on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > self.max_files:
            raise Refused(413, f"more than {self.max_files} files in one request")
        super().on_part_begin()
