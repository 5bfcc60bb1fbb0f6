"""A worker that does what a job tells it to: what a decoder with a defect might do.

python stub_worker.py [broken]
"""

import os
import sys
import time

from pipeline.serving.messages import Frame
from pipeline.serving.worker import read_frame, write_frame


def main() -> None:
    answers = sys.stdout.buffer
    if "broken" in sys.argv:
        write_frame(answers, Frame({"status": 500, "reason": "the model is broken"}))
        return
    if "silent" in sys.argv:
        return
    write_frame(answers, Frame({"status": 200}))
    while (job := read_frame(sys.stdin.buffer)) is not None:
        order = bytes(job.data)
        if order == b"hang":
            time.sleep(600)
        if order == b"die":
            os._exit(11)
        if order.startswith(b"sleep "):
            time.sleep(float(order.split()[1]))
        if order == b"refuse":
            write_frame(answers, Frame({"status": 415, "reason": "no image"}))
        else:
            write_frame(answers, Frame({"status": 200, "pid": os.getpid()}, order))


if __name__ == "__main__":
    main()
