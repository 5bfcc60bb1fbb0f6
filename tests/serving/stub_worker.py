"""A worker that does what a job tells it to: what a decoder with a defect might do.

python stub_worker.py [broken]
"""

import io
import os
import sys
import time
from typing import Any

from pipeline.serving.workers.messages import ENCODED_IMAGES, Frame
from pipeline.serving.workers.worker import read_frame, write_frame


def main() -> None:
    answers = sys.stdout.buffer
    if "broken" in sys.argv:
        write_frame(answers, Frame({"status": 500, "reason": "the model is broken"}))
        return
    if "silent" in sys.argv:
        return
    write_frame(answers, Frame({"status": 200}))
    while (job := read_frame(sys.stdin.buffer)) is not None:
        if job.header["kind"] == ENCODED_IMAGES:
            write_frame(answers, answer_images(job))
        else:
            order = bytes(job.data)
            outcome = obey(order)
            write_frame(answers, Frame({**outcome, "pid": os.getpid()}, order))


def answer_images(job: Frame) -> Frame:
    """Of each image its first four bytes, and how many have come together."""
    outcomes, data, stream = [], b"", io.BytesIO(job.data)
    for size in job.header["sizes"]:
        order = stream.read(size)
        outcomes.append(obey(order))
        if outcomes[-1]["status"] == 200:
            data += order[:4].ljust(4) + bytes([len(job.header["sizes"])])
    return Frame({"status": 200, "images": outcomes}, data)


def obey(order: bytes) -> dict[str, Any]:
    if order == b"hang":
        time.sleep(600)
    if order == b"die":
        os._exit(11)
    if order.startswith(b"sleep "):
        time.sleep(float(order.split()[1]))
    if order == b"refuse":
        return {"status": 415, "reason": "no image"}
    return {"status": 200}


if __name__ == "__main__":
    main()
