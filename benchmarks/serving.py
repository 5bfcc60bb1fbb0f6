"""The server under load: as it is, without bundles, and against other ways to serve a model.

    python -m benchmarks.serving exports/<name>/<version> [--keras models/baseline/model.keras]
    python -m benchmarks.serving exports/<name>/<version> --clients 32 --mlflow-python .venv/bin/python \
        --litserve-python /tmp/litserve/bin/python --bentoml-python /tmp/bentoml/bin/python
    python -m benchmarks.serving exports/<name>/<version> --requests 100000

The last form does not compare: it shows the memory of the shipped server while so many requests come,
each with an image and a file that is not one.

Every client sends one image of the network's size as PNG and waits for the answer, over and over. The
variants are measured in turn, several times, on one machine in one run, so that their ratios mean something.
Any status but 200 ends the run, so that the figures contain no errors:

- shipped: what `python -m pipeline serve` starts;
- single: the same, but a worker is given one image at a time, even where others wait;
- keras: a FastAPI route that calls `model.predict`, as tutorials have it;
- litserve, bentoml, mlflow: LitServe, BentoML and MLflow's scoring server, each written as its guide has it,
  with the LiteRT file that ours serves and as many workers, one thread each. They run with the interpreters
  that are given (benchmarks/requirements-serving.txt); what is sent is the same image, to MLflow in JSON.

With `--rounds 1 --seconds 30` on two cores, which the server shared with the clients alone, the baseline
on digits (32 pixels, 1.2 MB; ready after 0.5, 0.5 and 3.5 s; 179, 177 and 809 MB at the end):

              1 client: p50       p99  64 clients: p50         p99  requests  images/s  CPU, ms
    shipped         0.88 ms   1.30 ms         27.29 ms    70.99 ms    64,473      2149     0.72
    single          0.91 ms   1.38 ms         34.91 ms    50.70 ms    54,012      1800     0.86
    keras          39.00 ms  52.34 ms       1808.44 ms  2521.63 ms     1,076        36    46.54

Where a machine is busy, trust the processor time of an image, and short rounds in turn more than long ones.
In four runs with others at work, an image needed 0.75 to 1.04 ms of it in bundles and 0.95 to 1.17 alone,
always more than in bundles in the same run; images per second were 0.94 to 1.41 times those of single images.
With `--requests 100000` the memory was 193.7 MB after 19,501 requests and 194.0 MB after 101,547.
"""

import argparse
import asyncio
import base64
import contextlib
import io
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
from PIL import Image

from benchmarks.machine import SERVING, machine_line, versions_line
from pipeline.foundation.errors import PipelineError
from pipeline.inference.exported_model import LITERT_FORMATS, ExportedModel
from pipeline.inference.predictor import preferred_format
from pipeline.serving.application import Settings
from pipeline.serving.limits import Limits
from pipeline.serving.server import run_server
from pipeline.serving.workers import pool

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Protocol:
    """How a server is asked.

    Attributes:
      ready: a path that answers 200 once it predicts.
      path: where an image is sent.
      form_field: the name of the file in a form; None: base64 in JSON, as MLflow has it.
    """

    ready: str
    path: str
    form_field: str | None

    def request(self, image: bytes, *others: bytes) -> tuple[str, bytes]:
        """The type of the content, and the content."""
        if self.form_field is None:
            row = [base64.b64encode(image).decode("ascii")]
            return "application/json", json.dumps(
                {"dataframe_split": {"columns": ["file"], "data": [row]}}
            ).encode("ascii")
        head = f'--b\r\nContent-Disposition: form-data; name="{self.form_field}"; filename="a.png"\r\n\r\n'
        files = b"".join(head.encode("ascii") + file + b"\r\n" for file in (image, *others))
        return "multipart/form-data; boundary=b", files + b"--b--\r\n"


_OURS = Protocol("/readyz", "/api/predict", "files")
OTHERS = {
    "litserve": Protocol("/health", "/predict", "file"),
    "bentoml": Protocol("/readyz", "/predict", "file"),
    "mlflow": Protocol("/ping", "/invocations", None),
}
"""Servers with an interpreter of their own."""


@dataclass
class Variant:
    """A server that runs, and what was measured of it.

    Attributes:
      clients: one, and the many that it is compared with.
      ready_seconds: from its start to its first answer.
      first_megabytes: of memory, before the load.
      cpu_seconds: of server and workers under the load of many clients; other processes of the machine
        do not change it much.
      latencies: seconds of every request, by number of clients.
      rates: images per second of every round, by number of clients.
    """

    name: str
    port: int
    process: psutil.Popen
    ready_seconds: float
    clients: tuple[int, int]
    first_megabytes: float = 0.0
    cpu_seconds: float = 0.0
    latencies: dict[int, list[float]] = field(init=False)
    rates: dict[int, list[float]] = field(init=False)

    def __post_init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Take what was measured so far for a warm-up."""
        self.latencies = {count: [] for count in self.clients}
        self.rates = {count: [] for count in self.clients}
        self.first_megabytes, self.cpu_seconds = self.megabytes, 0.0

    @property
    def protocol(self) -> Protocol:
        return OTHERS.get(self.name, _OURS)

    @property
    def everybody(self) -> list[psutil.Process]:
        """The server and its workers."""
        return [self.process, *self.process.children(recursive=True)]

    @property
    def megabytes(self) -> float:
        """Their resident memory."""
        return float(sum(each.memory_info().rss for each in self.everybody)) / 1e6

    def cpu_seconds_so_far(self) -> float:
        return sum(sum(each.cpu_times()[:2]) for each in self.everybody)


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
    ready = OTHERS.get(name, _OURS).ready
    with TemporaryDirectory() as scratch:
        command = _command(name, options, port, Path(scratch))
        environment = {**os.environ, **(_served_by_others(options.folder) if name in OTHERS else {})}
        began = time.perf_counter()
        process = psutil.Popen(
            command,
            cwd=_working_folder(name),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=5).close()
                    break
                except OSError:
                    if process.poll() is not None:
                        sys.exit(f"{name} does not start; see {' '.join(command)}")
                    time.sleep(0.01)
            yield Variant(name, port, process, time.perf_counter() - began, (1, options.clients))
        finally:
            _end(process)


def _command(name: str, options: argparse.Namespace, port: int, scratch: Path) -> list[str]:
    if name not in OTHERS:
        command = [sys.executable, "-m", "benchmarks.serving", str(options.folder), "--serve", name]
        return [*command, "--port", str(port), *(["--keras", str(options.keras)] if options.keras else [])]
    # Not resolved: the name in an environment is a link to the Python that it was made with.
    python = os.path.abspath(getattr(options, f"{name}_python"))  # noqa: PTH100
    match name:
        case "litserve":
            return [python, "litserve_server.py", str(port)]
        case "bentoml":
            service = ["bentoml_service:Images", "--host", "127.0.0.1", "--port", str(port)]
            return [python, "-m", "bentoml", "serve", *service]
        case _:
            return [python, "mlflow_scoring.py", str(scratch / "model"), str(port)]


def _working_folder(name: str) -> Path:
    """The scripts of others import what lies beside them."""
    return _FOLDER if name in OTHERS else Path.cwd()


def _served_by_others(folder: Path) -> dict[str, str]:
    """What benchmarks/litert_classifier.py reads."""
    exported = ExportedModel.load(folder)
    format_name = preferred_format(exported)
    if format_name not in LITERT_FORMATS:
        raise PipelineError(f"{folder} is served as {format_name}, which the others do not open.")
    return {
        "SERVED_FILE": str(exported.file(folder, format_name).resolve()),
        "SERVED_CLASSES": "\n".join(exported.preprocessing.classes),
        "SERVED_WORKERS": str(Limits.workers),
        "BENTOML_DO_NOT_TRACK": "True",
    }


def _end(process: psutil.Popen) -> None:
    """A server, and the workers that some of them leave behind."""
    everybody = process.children(recursive=True) if process.is_running() else []
    process.terminate()
    _, alive = psutil.wait_procs([process, *everybody], timeout=10)
    for each in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()


async def load(variant: Variant, clients: int, seconds: float, image: bytes, *others: bytes) -> None:
    """Let `clients` ask for a while and add what that gave to the variant's figures."""
    content_type, body = variant.protocol.request(image, *others)
    head = (
        f"POST {variant.protocol.path} HTTP/1.1\r\nHost: 127.0.0.1:{variant.port}\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: {content_type}\r\n\r\n"
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

    cpu_seconds = variant.cpu_seconds_so_far()
    await asyncio.gather(*(client() for _ in range(clients)))
    if clients == variant.clients[-1]:
        variant.cpu_seconds += variant.cpu_seconds_so_far() - cpu_seconds
    variant.latencies[clients] += latencies
    variant.rates[clients].append(len(latencies) / seconds)


def made_image(size: int) -> bytes:
    """A PNG of random pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def compare(options: argparse.Namespace) -> None:
    """Measure all variants in turn and print a table."""
    exported = ExportedModel.load(options.folder)
    image = made_image(exported.preprocessing.image_size)
    names = ["shipped", "single", *(["keras"] if options.keras else [])]
    names += [name for name in OTHERS if getattr(options, f"{name}_python")]
    with contextlib.ExitStack() as stack:
        variants = [stack.enter_context(running(name, options)) for name in names]
        for variant in variants:  # caches, and TensorFlow's traces
            asyncio.run(load(variant, options.clients, 1, image))
            variant.forget()
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            for clients in (1, options.clients):
                for variant in variants:
                    asyncio.run(load(variant, clients, options.seconds, image))
        _print(exported, variants, options.clients)
        versions = [_version(name, options) for name in names if name in OTHERS]
    print(f"{Limits.workers} workers each; {machine_line(threads=1)} of each worker")
    print(versions_line(SERVING, *versions))


def _version(name: str, options: argparse.Namespace) -> dict[str, str]:
    """Of what another interpreter serves with."""
    program = f"from importlib.metadata import version; print(version({name!r}))"
    command = [getattr(options, f"{name}_python"), "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name: done.stdout.strip()}


def watch_memory(options: argparse.Namespace) -> None:
    """Print the memory of the shipped server and its workers while requests come."""
    exported = ExportedModel.load(options.folder)
    files = made_image(exported.preprocessing.image_size), b"no image" * 1000
    with running("shipped", options) as variant:
        latencies = variant.latencies[options.clients]
        while len(latencies) < options.requests:
            print(f"{len(latencies):9,} requests {variant.megabytes:7.1f} MB", flush=True)
            asyncio.run(load(variant, options.clients, options.seconds, *files))
        print(f"{len(latencies):9,} requests {variant.megabytes:7.1f} MB")


def _print(exported: ExportedModel, variants: list[Variant], many: int) -> None:
    size = exported.preprocessing.image_size
    print(f"{exported.network}, {size} pixels, {os.cpu_count()} cores shared with the clients")
    print(f"{'':10} {'ready':>7} {'memory, MB':>13} {'1 client: p50':>14} {'p99':>9}", end="")
    print(f" {f'{many} clients: p50':>16} {'p99':>10} {'requests':>9} {'images/s':>9}", end="")
    print(f" {'ratio':>6} {'CPU, ms':>8}")
    first = statistics.median(variants[0].rates[many])
    for variant in variants:
        print(f"{variant.name:10} {variant.ready_seconds:5.1f} s", end="")
        print(f" {variant.first_megabytes:5.0f} -> {variant.megabytes:4.0f}", end="")
        for clients, widths in zip((1, many), ((11, 6), (13, 7)), strict=True):
            median, high = np.percentile(variant.latencies[clients], [50, 99]) * 1000
            print(f" {median:{widths[0]}.2f} ms {high:{widths[1]}.2f} ms", end="")
        rate = statistics.median(variant.rates[many])
        requests = len(variant.latencies[many])
        print(f" {requests:9,} {rate:9.0f} {rate / first:6.2f} {1000 * variant.cpu_seconds / requests:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="an exported model")
    parser.add_argument("--keras", type=Path, help="the model.keras that was exported, to compare with")
    for name in OTHERS:
        parser.add_argument(
            f"--{name}-python", metavar="PYTHON", help=f"an interpreter that has {name}, to compare"
        )
    parser.add_argument("--clients", type=int, default=64, help="that ask at once (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--requests", type=int, help="show the memory over so many requests instead")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve == "keras":
        serve_keras(options.keras, options.folder, options.port)
    elif options.serve:
        if options.serve == "single":
            pool.BUNDLE_IMAGES = 1
        run_server(Settings(folder=options.folder), "127.0.0.1", options.port, print)
    elif options.requests:
        watch_memory(options)
    else:
        try:
            compare(options)
        except PipelineError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
