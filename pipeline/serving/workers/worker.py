"""A worker: a process that decodes images and predicts, one job after the other.

    python -m pipeline.serving.workers.worker FOLDER FORMAT MAX_PIXELS MAX_IMAGES

Jobs come in on standard input and answers go out on standard output (`messages`). It first says that it
is ready, or why it cannot be, and ends when its input does, so that none outlives its server.
"""

import io
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pipeline.foundation.errors import PipelineError
from pipeline.inference.exported_model import ExportedModel
from pipeline.inference.predictor import Predictor, load_predictor
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.serving.limits import MEGABYTE
from pipeline.serving.workers.bounded_decoding import decode_bounded
from pipeline.serving.workers.messages import ENCODED_IMAGES, LENGTHS, Frame, Refused
from pipeline.serving.workers.predict_request import read_predict_request

_BATCH_SIZE = 16
"""Images per step of a request with many; more are not faster, and cost memory."""
_BYTES_PER_PIXEL = 20
"""Decoding holds a handful of copies at a time: of the file's mode, RGBA, RGB, turned upright."""
_OTHER_MEMORY = 512 * MEGABYTE
"""For the body of a request as Python's objects, and for what the runtime needs."""


@dataclass(frozen=True)
class _Model:
    predictor: Predictor
    preprocessing: PreprocessingSpec

    @classmethod
    def load(cls, folder: Path, format_name: str) -> "_Model":
        """Load and try it out, so that the first request does not pay for it. Raises PipelineError."""
        exported = ExportedModel.load(folder)
        model = cls(load_predictor(exported, folder, format_name), exported.preprocessing)
        shape = model.predict(np.zeros((1, *exported.preprocessing.shape), np.uint8)).shape
        if shape != (1, len(exported.preprocessing.classes)):
            raise PipelineError(
                f"{folder}: the model does not fit its export.json.",
                expected=f"{len(exported.preprocessing.classes)} probabilities, one for each class",
                found=f"an output of shape {shape}",
                remedy="export the model again: python -m pipeline export",
            )
        return model

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities, float32 (N, K), of uint8 (N, height, width, channels)."""
        starts = range(0, len(images), _BATCH_SIZE)
        return np.concatenate([self.predictor.predict(images[i : i + _BATCH_SIZE]) for i in starts])


@dataclass(frozen=True)
class _Worker:
    model: _Model
    max_pixels: int
    max_images: int

    def answer(self, job: Frame) -> Frame:
        if job.header["kind"] == ENCODED_IMAGES:
            return self._answer_images(bytes(job.data), job.header["sizes"])
        try:
            return self._answer_request(bytes(job.data))
        except Exception as error:
            return Frame(_refusal(error))

    def _answer_images(self, data: bytes, sizes: list[int]) -> Frame:
        outcomes: list[dict[str, Any]] = []
        answers, stream = [], io.BytesIO(data)
        for size in sizes:
            try:
                # One by one, so that an image has the same answer to the last bit in whatever company.
                answers.append(_encoded(self.model.predict(self._decode(stream.read(size))[np.newaxis])))
                outcomes.append({"status": 200})
            except Exception as error:
                outcomes.append(_refusal(error))
        return Frame({"status": 200, "images": outcomes}, b"".join(answers))

    def _answer_request(self, data: bytes) -> Frame:
        request = read_predict_request(data, self.model.preprocessing.shape, self.max_images)
        if isinstance(request.images, np.ndarray):
            images = request.images
        else:
            images = np.stack([self._decode_row(row, image) for row, image in enumerate(request.images)])
        return Frame({"status": 200, "answer_key": request.answer_key}, _encoded(self.model.predict(images)))

    def _decode(self, data: bytes) -> np.ndarray:
        return decode_bounded(data, self.model.preprocessing, self.max_pixels)

    def _decode_row(self, row: int, data: bytes) -> np.ndarray:
        try:
            return self._decode(data)
        except Refused as refusal:
            # For TensorFlow Serving whatever is wrong with an input is an invalid argument.
            raise Refused(400, f"image {row}: {refusal.reason}") from None


def _encoded(probabilities: np.ndarray) -> bytes:
    return np.ascontiguousarray(probabilities, "<f4").tobytes()


def _refusal(error: Exception) -> dict[str, Any]:
    """What an answer's header says where there are no probabilities."""
    if isinstance(error, Refused):
        return {"status": error.status, "reason": error.reason}
    if isinstance(error, MemoryError):
        return {"status": 422, "reason": "more memory is needed than one request may use"}
    return {"status": 500, "reason": "internal error", "defect": _describe(error)}


def _describe(error: BaseException) -> str:
    """Kind and place of a defect; its message might quote what somebody has uploaded."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f" at {frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else ""
    return type(error).__name__ + place


def read_frame(stream: BinaryIO) -> Frame | None:
    """The next job; None where the server has closed the pipe."""
    lengths = stream.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    header_length, data_length = LENGTHS.unpack(lengths)
    header, data = stream.read(header_length), stream.read(data_length)
    return Frame(json.loads(header), data) if len(data) == data_length else None


def write_frame(stream: BinaryIO, frame: Frame) -> None:
    stream.write(frame.encoded_head())
    stream.write(frame.data)
    stream.flush()


def _limit_memory(max_pixels: int) -> None:
    """Let a decoder that runs wild fail in this process instead of filling the machine."""
    try:
        import resource
    except ImportError:  # Windows
        return
    allowed = _data_bytes() + max_pixels * _BYTES_PER_PIXEL + _OTHER_MEMORY
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or allowed <= hard:
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))


def _data_bytes() -> int:
    """What RLIMIT_DATA counts of this process already; 0 where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    sizes = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(sizes["VmData"].split()[0]) * 1024


def main(arguments: list[str]) -> None:
    # Ctrl-C in a terminal reaches every process of it; the server decides when a worker ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder, format_name, max_pixels, max_images = arguments
    jobs = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    # Whatever a library prints would be taken for an answer.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        model = _Model.load(Path(folder), format_name)
    except (PipelineError, ImportError, ValueError, RuntimeError) as error:
        write_frame(answers, Frame({"status": 500, "reason": str(error)}))
        return
    _limit_memory(int(max_pixels))
    worker = _Worker(model, int(max_pixels), int(max_images))
    write_frame(answers, Frame({"status": 200}))
    while (job := read_frame(jobs)) is not None:
        write_frame(answers, worker.answer(job))


if __name__ == "__main__":
    main(sys.argv[1:])
