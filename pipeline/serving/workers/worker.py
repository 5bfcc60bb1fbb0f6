"""A worker: a process that decodes images and predicts, one job after the other.

    python -m pipeline.serving.workers.worker FOLDER FORMAT MAX_PIXELS MAX_IMAGES

Jobs come in on standard input and replies go out on standard output (`messages`). It first says that it
is ready, or why it cannot be, and ends when its input does, so that none outlives its server.
"""

import io
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pipeline.foundation.array_types import Float32, UInt8
from pipeline.foundation.errors import PipelineError
from pipeline.inference.exported_model import ExportedModel
from pipeline.inference.predictor import Predictor, load_predictor
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.serving.limits import MEGABYTE
from pipeline.serving.refusals import Refused, describe_defect
from pipeline.serving.workers.bounded_decoding import decode_bounded
from pipeline.serving.workers.messages import LENGTHS, Job, Outcome, Reply, frame_head, read_job
from pipeline.serving.workers.predict_request import read_predict_request

_BATCH_SIZE = 16
"""Images per step of a request with many; more are not faster, and cost memory."""
_BYTES_PER_PIXEL = 20
"""Decoding holds a handful of copies at a time: of the file's mode, RGBA, RGB, turned upright."""
_OTHER_MEMORY = 512 * MEGABYTE
"""For the body of a request as Python's objects, and for what the runtime needs."""


@dataclass(frozen=True)
class _LoadedModel:
    predictor: Predictor
    preprocessing: PreprocessingSpec

    @classmethod
    def load(cls, folder: Path, format_name: str) -> "_LoadedModel":
        """Load and try it out, so that the first request does not pay for it. Raises PipelineError."""
        exported = ExportedModel.load(folder)
        model = cls(load_predictor(exported, folder, format_name), exported.preprocessing)
        shape = model.predict(np.zeros((1, *exported.preprocessing.shape), np.uint8)).shape
        if shape != (1, len(exported.preprocessing.classes)):
            raise PipelineError(
                f"{folder}: the model does not fit its export.json.",
                expected=f"{len(exported.preprocessing.classes)} probabilities, one for each class",
                found=f"an output of shape {shape}",
                remedy=f"export the model again: python -m pipeline export {exported.original}",
            )
        return model

    def predict(self, images: UInt8[np.ndarray, "n h w c"]) -> Float32[np.ndarray, "n k"]:
        """Class probabilities. Raises ValueError where they are not finite, which JSON cannot express."""
        starts = range(0, len(images), _BATCH_SIZE)
        batches = [self.predictor.predict(images[start : start + _BATCH_SIZE]) for start in starts]
        probabilities: Float32[np.ndarray, "n k"] = np.concatenate(batches)
        if not np.isfinite(probabilities).all():
            raise ValueError("the network yields probabilities that are not finite numbers")
        return probabilities


@dataclass(frozen=True)
class _Worker:
    model: _LoadedModel
    max_pixels: int
    max_images: int

    def reply(self, job: Job) -> Reply:
        if job.sizes is not None:
            return self._classify(job.data, job.sizes)
        try:
            return self._predict(job.data)
        except Exception as error:
            return Reply(_outcome_of(error))

    def _classify(self, data: bytes, sizes: Sequence[int]) -> Reply:
        outcomes, encoded, stream = [], [], io.BytesIO(data)
        for size in sizes:
            try:
                # One at a time, so that an image gets the same answer, bit for bit, in every request.
                encoded.append(_encoded(self.model.predict(self._decode(stream.read(size))[np.newaxis])))
                outcomes.append(Outcome())
            except Exception as error:
                outcomes.append(_outcome_of(error))
        return Reply(Outcome(), outcomes, data=b"".join(encoded))

    def _predict(self, body: bytes) -> Reply:
        request = read_predict_request(body, self.model.preprocessing.shape, self.max_images)
        if isinstance(request.images, np.ndarray):
            images = request.images
        else:
            images = np.stack([self._decode_row(row, image) for row, image in enumerate(request.images)])
        return Reply(Outcome(), answer_key=request.answer_key, data=_encoded(self.model.predict(images)))

    def _decode(self, data: bytes) -> UInt8[np.ndarray, "h w c"]:
        return decode_bounded(data, self.model.preprocessing, self.max_pixels)

    def _decode_row(self, row: int, data: bytes) -> UInt8[np.ndarray, "h w c"]:
        try:
            return self._decode(data)
        except Refused as refusal:
            # To TensorFlow Serving, anything wrong with an input is an invalid argument.
            raise Refused(400, f"image {row}: {refusal.reason}") from None


def _encoded(probabilities: Float32[np.ndarray, "n k"]) -> bytes:
    return np.ascontiguousarray(probabilities, "<f4").tobytes()


def _outcome_of(error: Exception) -> Outcome:
    if isinstance(error, Refused):
        return Outcome(error.status, error.reason)
    if isinstance(error, MemoryError):
        return Outcome(422, "more memory is needed than one request may use")
    return Outcome(500, "internal error", describe_defect(error))


def receive(stream: BinaryIO) -> Job | None:
    """The next job; None where the server has closed the pipe."""
    lengths = stream.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    header_length, data_length = LENGTHS.unpack(lengths)
    header, data = stream.read(header_length), stream.read(data_length)
    return read_job(header, data) if len(data) == data_length else None


def send(stream: BinaryIO, reply: Reply) -> None:
    stream.write(frame_head(reply))
    stream.write(reply.data)
    stream.flush()


def _limit_memory(max_pixels: int) -> None:
    """Let a decoder that runs wild fail in this process instead of filling the machine's memory."""
    try:
        import resource
    except ImportError:  # Windows
        return
    allowed = _data_bytes() + max_pixels * _BYTES_PER_PIXEL + _OTHER_MEMORY
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or allowed <= hard:
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))


def _data_bytes() -> int:
    """What RLIMIT_DATA counts for this process so far; 0 where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    sizes = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(sizes["VmData"].split()[0]) * 1024


def main(arguments: list[str]) -> None:
    # Ctrl-C in a terminal reaches every process in it; the server decides when a worker ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder, format_name, max_pixels, max_images = arguments
    jobs = sys.stdin.buffer
    replies = os.fdopen(os.dup(1), "wb")
    # Anything that a library prints would be taken for a reply.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        model = _LoadedModel.load(Path(folder), format_name)
    except (PipelineError, ImportError, ValueError, RuntimeError) as error:
        send(replies, Reply(Outcome(500, str(error))))
        return
    _limit_memory(int(max_pixels))
    worker = _Worker(model, int(max_pixels), int(max_images))
    send(replies, Reply(Outcome()))
    while (job := receive(jobs)) is not None:
        send(replies, worker.reply(job))


if __name__ == "__main__":
    main(sys.argv[1:])
