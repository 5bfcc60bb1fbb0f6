"""The server under load: as it is, with micro-batching, and against Keras behind FastAPI.

    python -m benchmarks.serving exports/<name>/<version> [--keras models/baseline/model.keras]

Every client sends one image of the network's size as PNG and waits for the answer, over and over. The
variants are measured in turn, several times, on one machine in one run, so that their ratios mean something:

- shipped: what `python -m pipeline serve` starts;
- batching: the same, but a worker takes up to 8 of the images that wait and predicts them as one batch;
- keras: a FastAPI route that calls `model.predict`, as tutorials have it.
"""

import argparse
import asyncio
import contextlib
import io
import os
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from pipeline.inference.exported_model import ExportedModel
from pipeline.inference.predictor import load_predictor, preferred_format
from pipeline.serving import served_model
from pipeline.serving.application import Settings
from pipeline.serving.limits import Limits
from pipeline.serving.messages import Frame
from pipeline.serving.server import run_server
from pipeline.serving.worker import read_frame, write_frame
from pipeline.serving.worker_pool import Report, WorkerPool

BATCH = 8
CLIENTS = (1, 64)


@dataclass
class Variant:
    """A server that runs, and what was measured of it.

    Attributes:
      ready_seconds: from its start to its first answer.
      latencies: seconds of every request, by number of clients.
      rates: images per second of every round, by number of clients.
    """

    name: str
    port: int
    process: psutil.Popen
    ready_seconds: float
    latencies: dict[int, list[float]] = field(default_factory=lambda: {count: [] for count in CLIENTS})
    rates: dict[int, list[float]] = field(default_factory=lambda: {count: [] for count in CLIENTS})

    @property
    def megabytes(self) -> float:
        """Resident memory of the server and its workers."""
        everybody = [self.process, *self.process.children(recursive=True)]
        return sum(each.memory_info().rss for each in everybody) / 1e6


class BatchingPool(WorkerPool):
    """What was tried and not kept: images that wait go to a worker together."""

    def __init__(self, command: Sequence[str], limits: Limits, report: Report) -> None:
        folder = command[3]  # python -m pipeline.serving.worker FOLDER ...
        super().__init__((sys.executable, "-m", "benchmarks.serving", folder, "--worker"), limits, report)
        self._waiting: asyncio.Queue[tuple[Frame, asyncio.Future[Frame]]] = asyncio.Queue()

    async def start(self) -> None:
        await super().start()
        for _ in range(self._limits.workers):
            task = asyncio.create_task(self._work())
            self._tasks.add(task)

    async def run(self, job: Frame) -> Frame:
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((job, answer))
        return await answer

    async def _work(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            data = b"".join(job.data for job, _ in batch)
            sizes = [len(job.data) for job, _ in batch]
            reply = await super().run(Frame({"sizes": sizes}, data))
            length = len(reply.data) // len(batch)
            for place, (_, answer) in enumerate(batch):
                answer.set_result(Frame(reply.header, reply.data[place * length : (place + 1) * length]))


def batching_worker(folder: Path) -> None:
    """The worker of a BatchingPool."""
    exported = ExportedModel.load(folder)
    predictor = load_predictor(exported, folder, preferred_format(tuple(exported.files)))
    write_frame(sys.stdout.buffer, Frame({"status": 200}))
    while (job := read_frame(sys.stdin.buffer)) is not None:
        stream = io.BytesIO(bytes(job.data))
        images = [exported.preprocessing.apply(stream.read(size)) for size in job.header["sizes"]]
        probabilities = predictor.predict(np.stack(images)).astype("<f4")
        write_frame(sys.stdout.buffer, Frame({"status": 200}, probabilities.tobytes()))


def serve_keras(model: Path, folder: Path, port: int) -> None:
    """`model.predict` behind FastAPI."""
    import keras
    import uvicorn
    from fastapi import FastAPI, UploadFile

    network = keras.models.load_model(model, compile=False)
    classes = ExportedModel.load(folder).preprocessing.classes
    size = ExportedModel.load(folder).preprocessing.image_size
    application = FastAPI()

    @application.get("/readyz")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    @application.post("/api/predict")
    def predict(files: UploadFile) -> dict[str, float]:
        image = Image.open(files.file).convert("RGB").resize((size, size))
        probabilities = network.predict(np.asarray(image)[np.newaxis], verbose=0)[0]
        return dict(zip(classes, probabilities.tolist(), strict=True))

    uvicorn.run(application, port=port, log_level="error")


@contextlib.contextmanager
def running(name: str, options: argparse.Namespace) -> Iterator[Variant]:
    """Start a variant as a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.serving", str(options.folder), "--serve", name]
    command += ["--port", str(port), *(["--keras", str(options.keras)] if options.keras else [])]
    began = time.perf_counter()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
                break
            except OSError:
                if process.poll() is not None:
                    sys.exit(f"{name} does not start; see {' '.join(command)}")
                time.sleep(0.01)
        yield Variant(name, port, process, time.perf_counter() - began)
    finally:
        process.terminate()
        process.wait()


async def load(variant: Variant, clients: int, seconds: float, body: bytes) -> None:
    """Let `clients` ask for a while and add what that gave to the variant's figures."""
    head = (
        f"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1:{variant.port}\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    ).encode()
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", variant.port)
        while (began := time.perf_counter()) < end:
            writer.write(head + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            if b" 200 " not in answer[:20]:
                sys.exit(f"{variant.name} has answered {answer!r}")
            length = re.search(rb"content-length: (\d+)", answer)
            assert length is not None
            await reader.readexactly(int(length[1]))
            latencies.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    variant.latencies[clients] += latencies
    variant.rates[clients].append(len(latencies) / seconds)


def form_with_image(size: int) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    return head + buffer.getvalue() + b"\r\n--b--\r\n"


def compare(options: argparse.Namespace) -> None:
    """Measure all variants in turn and print a table."""
    exported = ExportedModel.load(options.folder)
    body = form_with_image(exported.preprocessing.image_size)
    names = ["shipped", "batching", *(["keras"] if options.keras else [])]
    with contextlib.ExitStack() as stack:
        variants = [stack.enter_context(running(name, options)) for name in names]
        for variant in variants:  # caches, and TensorFlow's traces
            asyncio.run(load(variant, CLIENTS[-1], 1, body))
            variant.latencies, variant.rates = ({count: [] for count in CLIENTS} for _ in range(2))
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            for clients in CLIENTS:
                for variant in variants:
                    asyncio.run(load(variant, clients, options.seconds, body))
        _print(exported, variants)


def _print(exported: ExportedModel, variants: list[Variant]) -> None:
    size = exported.preprocessing.image_size
    print(f"{exported.network}, {size} pixels, {os.cpu_count()} cores shared with the clients")
    print(f"{'':10} {'ready':>7} {'memory':>8} {'1 client: p50':>14} {'p99':>9}", end="")
    print(f" {'64 clients: p50':>16} {'p99':>9} {'images/s':>9} {'ratio':>6}")
    first = statistics.median(variants[0].rates[CLIENTS[-1]])
    for variant in variants:
        print(f"{variant.name:10} {variant.ready_seconds:5.1f} s {variant.megabytes:5.0f} MB", end="")
        for clients, width in zip(CLIENTS, (11, 13), strict=True):
            median, high = np.percentile(variant.latencies[clients], [50, 99]) * 1000
            print(f" {median:{width}.2f} ms {high:6.2f} ms", end="")
        rate = statistics.median(variant.rates[CLIENTS[-1]])
        print(f" {rate:9.0f} {rate / first:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="an exported model")
    parser.add_argument("--keras", type=Path, help="the model.keras that was exported, to compare with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        batching_worker(options.folder)
    elif options.serve == "keras":
        serve_keras(options.keras, options.folder, options.port)
    elif options.serve:
        if options.serve == "batching":
            served_model.WorkerPool = BatchingPool  # type: ignore[misc]
        run_server(Settings(folder=options.folder), "127.0.0.1", options.port, print)
    else:
        compare(options)


if __name__ == "__main__":
    main()
