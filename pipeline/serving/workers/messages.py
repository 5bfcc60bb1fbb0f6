"""What server and worker tell each other over a pair of pipes.

Both directions carry frames: two lengths, a header in JSON, then bytes. A job's bytes are what a client
sent; those of a reply are probabilities. Nothing is unpickled: a worker has touched hostile files.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

LENGTHS = struct.Struct("<II")
"""Bytes of the header and bytes of the data, before every frame."""


@dataclass(frozen=True)
class Job:
    """What a worker is asked to do.

    Attributes:
      data: image files, one after the other, or the JSON body of a request in TensorFlow Serving's protocol.
      sizes: bytes of each image file; None for a request.
    """

    data: bytes
    sizes: Sequence[int] | None = None

    @classmethod
    def of_images(cls, images: Sequence[bytes]) -> "Job":
        return cls(b"".join(images), [len(image) for image in images])


@dataclass(frozen=True)
class Outcome:
    """What became of a job, or of one of its images.

    Attributes:
      status: the HTTP status of a request that asked for nothing else.
      reason: for the client, where the status is not 200.
      defect: for the log, where the worker itself has failed.
    """

    status: int = 200
    reason: str = ""
    defect: str = ""


@dataclass(frozen=True)
class Reply:
    """What a worker says when it is ready, and after every job.

    Attributes:
      outcome: of the job as a whole.
      images: the outcome of each image file.
      answer_key: of a request in TensorFlow Serving's protocol: the name of its answer's only field.
      data: class probabilities, little-endian float32, of each image whose status is 200.
    """

    outcome: Outcome
    images: Sequence[Outcome] = field(default=())
    answer_key: str = ""
    data: bytes | memoryview = b""


def frame_head(message: Job | Reply) -> bytes:
    """The message's frame but for its data, which may be large and is written separately."""
    values = {name: value for name, value in vars(message).items() if name != "data"}
    header = json.dumps(values, default=vars).encode()
    return LENGTHS.pack(len(header), len(message.data)) + header


def read_job(header: bytes, data: bytes) -> Job:
    return Job(data, **json.loads(header))


def read_reply(header: bytes, data: bytes) -> Reply:
    values = json.loads(header)
    outcome, images = values.pop("outcome"), values.pop("images")
    return Reply(Outcome(**outcome), [Outcome(**each) for each in images], data=data, **values)
