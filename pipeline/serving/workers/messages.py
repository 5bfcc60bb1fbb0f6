"""What server and worker tell each other over a pair of pipes.

Both directions carry frames: two lengths, a header in JSON, then bytes. A job's bytes are what a client
sent; an answer's are probabilities. Nothing is unpickled: a worker has touched hostile files.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LENGTHS = struct.Struct("<II")
"""Bytes of the header and bytes of the data, before every frame."""

ENCODED_IMAGES = "encoded_images"
"""A job whose data are image files, one after the other, of the `sizes` in its header. Each has its own
outcome in the `images` of the answer's header, and its probabilities in the data where its status is 200."""
PREDICT_REQUEST = "predict_request"
"""A job whose data is the JSON body of a request in TensorFlow Serving's protocol."""


@dataclass(frozen=True)
class Frame:
    header: Mapping[str, Any]
    data: bytes | memoryview = b""

    def encoded_head(self) -> bytes:
        """The frame but for its data, which may be large and is written apart."""
        header = json.dumps(self.header).encode()
        return LENGTHS.pack(len(header), len(self.data)) + header


class Refused(Exception):  # noqa: N818  (it is an answer, not a failure)
    """A request, or one image of it, that is answered with an HTTP status other than 200.

    Attributes:
      status: the HTTP status.
      reason: for whoever sent the request; holds nothing of its content but sizes.
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
