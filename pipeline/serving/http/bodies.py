"""Bodies of requests, counted while they arrive and kept in memory only."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from pipeline.serving.http.admission import Buffered
from pipeline.serving.limits import MEGABYTE, Limits
from pipeline.serving.workers.messages import Refused

FIELD = "files"
"""Name of the form field that images come in."""


@dataclass(frozen=True)
class Upload:
    """`name` is what the client calls the file; it goes back to the client and nowhere else."""

    name: str
    data: bytes


async def read_body(request: Request, limits: Limits, buffered: Buffered) -> bytes:
    """Raises Refused: 408, 413, 503."""
    async with _in_time(limits):
        return b"".join([chunk async for chunk in _bounded(request, limits, buffered)])


async def read_uploads(request: Request, limits: Limits, buffered: Buffered) -> list[Upload]:
    """The files of a multipart form.

    Raises:
      Refused: 400, 408, 413, 503; 415 where it is no multipart form, 422 where it holds no files.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Refused(415, f"expected multipart/form-data with images in the field '{FIELD}'")
    parser = _Parser(request, limits, buffered)
    try:
        async with _in_time(limits):
            form = await parser.parse()
    except MultiPartException as error:
        raise Refused(400, f"the multipart form is damaged: {error.message}") from None
    files = [value for name, value in form.multi_items() if name == FIELD and isinstance(value, UploadFile)]
    uploads = [Upload(file.filename or "", file.file.read()) for file in files]
    await form.close()
    if not uploads:
        raise Refused(422, f"no file in the field '{FIELD}'")
    return uploads


class _Parser(MultiPartParser):
    """Gives up at the first part too many, and on a form that was cut off: its last file would be missing.

    Names are UTF-8, as browsers send them, or else Latin-1. Other encodings, which a client could ask for,
    can fail to decode or yield half characters, which no JSON can hold.
    """

    _parts = 0
    _ended = False

    def __init__(self, request: Request, limits: Limits, buffered: Buffered) -> None:
        chunks = self._to_the_end(_bounded(request, limits, buffered))
        super().__init__(request.headers, chunks, max_files=limits.images)
        # Larger files would be written to the disk, which nothing uploaded ever is.
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


@asynccontextmanager
async def _in_time(limits: Limits) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(limits.receive_seconds):
            yield
    except TimeoutError:
        raise Refused(408, f"the request did not arrive within {limits.receive_seconds:g} s") from None


async def _bounded(request: Request, limits: Limits, buffered: Buffered) -> AsyncGenerator[bytes, None]:
    """The chunks of a body as they arrive; ends with Refused (413, 503) at the first byte too many."""
    too_large = Refused(413, f"the request has more than {limits.body_bytes / MEGABYTE:g} MB")
    if int(request.headers.get("content-length", "0")) > limits.body_bytes:
        raise too_large
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limits.body_bytes:
            raise too_large
        buffered.add(len(chunk))
        yield chunk
