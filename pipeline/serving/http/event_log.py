"""The server's log, without anything that was uploaded."""

import json
import logging
from contextlib import suppress
from datetime import UTC, datetime
from typing import TextIO


class EventLog:
    """Writes one JSON object per line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: str, **fields: object) -> None:
        """Write an event; the server goes on when nobody reads the log anymore."""
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
        with suppress(OSError, ValueError):
            print(json.dumps(line, ensure_ascii=False), file=self._stream, flush=True)


class LibraryLog(logging.Handler):
    """What libraries log, as events without the content of any request.

    Content would be in the arguments of a message, in the lines after its first, or in what the parser of
    forms says, which the client is told anyway.
    """

    def __init__(self, log: EventLog) -> None:
        super().__init__(logging.WARNING)
        self.addFilter(lambda record: not record.name.startswith("python_multipart"))
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        first_line = str(record.msg).partition("\n")[0]
        self._log("library", logger=record.name, level=record.levelname.lower(), message=first_line)
