"""A worker that does what a job tells it to: what a decoder with a defect might do.

python stub_worker.py [broken or silent]
"""

import io
import os
import sys
import time
from collections.abc import Sequence

from pipeline.serving.workers.messages import Job, Outcome, Reply
from pipeline.serving.workers.worker import receive, send


def main() -> None:
    replies = sys.stdout.buffer
    if "broken" in sys.argv:
        send(replies, Reply(Outcome(500, "the model is broken")))
        return
    if "silent" in sys.argv:
        return
    send(replies, Reply(Outcome()))
    while (job := receive(sys.stdin.buffer)) is not None:
        send(replies, reply_to(job))


def reply_to(job: Job) -> Reply:
    """To an order: itself, and the process that has obeyed it as `answer_key`."""
    if job.sizes is not None:
        return reply_to_images(job.data, job.sizes)
    return Reply(obey(job.data), answer_key=str(os.getpid()), data=job.data)


def reply_to_images(data: bytes, sizes: Sequence[int]) -> Reply:
    """Two numbers for each image, whose bytes are its first four and how many images came together."""
    outcomes, numbers, stream = [], b"", io.BytesIO(data)
    for size in sizes:
        order = stream.read(size)
        outcomes.append(obey(order))
        if outcomes[-1].status == 200:
            numbers += order[:4].ljust(4) + len(sizes).to_bytes(4, "little")
    return Reply(Outcome(), outcomes, data=numbers)


def obey(order: bytes) -> Outcome:
    if order == b"hang":
        time.sleep(600)
    if order == b"die":
        os._exit(11)
    if order.startswith(b"sleep "):
        time.sleep(float(order.split()[1]))
    return Outcome(415, "no image") if order == b"refuse" else Outcome()


if __name__ == "__main__":
    main()
