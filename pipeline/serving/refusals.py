"""What a client is told instead of an answer, and what the log is told about a defect."""

import traceback
from collections.abc import Mapping


class Refused(Exception):  # noqa: N818  (it is an answer, not a failure)
    """A request, or one image of it, that is answered with an HTTP status other than 200.

    Attributes:
      status: the HTTP status.
      reason: for the client; repeats nothing of what it sent but sizes.
      headers: of the response.
    """

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = dict(headers or {})


def refused_for_now(status: int, reason: str) -> Refused:
    """429 or 503: the same request may succeed in a second."""
    return Refused(status, reason, {"Retry-After": "1"})


def describe_defect(error: BaseException) -> str:
    """Kind and places of a defect; its message might quote what a client has sent."""
    places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-6:]]
    return f"{type(error).__name__} at {', '.join(places)}"
