"""A container of the server without a container engine: docs/deploy/Dockerfile carried out in a folder.

Packages come from the registry, in the versions and with the hashes of requirements-serve.lock.
"""

import base64
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import requests
from PIL import Image as Picture

from tests.end_to_end.container import Image, build, compose_services, running
from tests.end_to_end.digits_for_litert import NAME, export_for_litert
from tests.end_to_end.servers import free_port

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.timeout(900)]

MEGABYTE = 1_000_000
INSTALLED = """
import json
from importlib.metadata import distributions
print(json.dumps([each.name for each in distributions()]))
"""


@dataclass(frozen=True)
class Container:
    """A container that runs, where it answers, and what the image held before it was started."""

    image: Image
    process: "subprocess.Popen[str]"
    port: int
    files: set[Path]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def healthcheck(self) -> int:
        """Exit code of the image's own check."""
        command = [word.replace("8000", str(self.port)) for word in self.image.healthcheck]
        return self.image.run(command).returncode


@pytest.fixture(scope="module")
def image(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image, with exports where the compose file mounts them."""
    image = build(project, tmp_path_factory.mktemp("images"))
    exports = tmp_path_factory.mktemp("project") / "exports"
    export_for_litert(exports)
    # What docs/deploy.md lets an image with the model take along.
    ignored = shutil.ignore_patterns("tensorflow_serving", "bare")
    shutil.copytree(exports, image.path("exports"), ignore=ignored)
    return image


@pytest.fixture(scope="module")
def container(image: Image, project: Path) -> Iterator[Container]:
    """Started with the command of the compose file, at an address of its own."""
    port, before = free_port(), files(image)
    own_address = ["--host=127.0.0.1", f"--port={port}"]
    began = time.monotonic()
    with running(image, [*compose_services(project)["server"]["command"], *own_address]) as process:
        while process.poll() is None and not _answers(port):
            time.sleep(0.02)
        assert process.poll() is None, process.communicate()
        print(f"\nready after {time.monotonic() - began:.1f} s")
        yield Container(image, process, port, before)


def test_it_has_what_is_locked_and_nothing_else(image: Image, project: Path) -> None:
    lock = (project / "requirements-serve.lock").read_text(encoding="utf-8")
    installed = {re.sub(r"[-_.]+", "-", name).lower() for name in json.loads(said(image, "-c", INSTALLED))}
    assert installed <= set(re.findall(r"^([\w-]+)==", lock, re.MULTILINE))
    assert {"ai-edge-litert", "fastapi"} <= installed
    assert not {"tensorflow", "tensorflow-cpu", "keras", "mlflow", "pip"} & installed
    print(f"\npackages: {size(image.path('/venv')) / MEGABYTE:.0f} MB, in {len(installed)} packages")
    print(f"code and samples: {size(image.path('/app')) / MEGABYTE:.0f} MB")


def test_it_serves_pages_predictions_and_metrics(container: Container, project: Path) -> None:
    ready = requests.get(f"{container.url}/readyz", timeout=30).json()
    assert (ready["model"], ready["workers"]) == ({"name": NAME, "version": 1}, 2)
    assert "<!doctype html>" in requests.get(container.url, timeout=30).text
    samples = sorted((project / "samples").glob("digit-*.png"))
    parts = [("files", (path.name, path.read_bytes())) for path in samples]
    results = requests.post(f"{container.url}/api/predict", files=parts, timeout=30).json()["results"]
    assert [result["predicted"] for result in results] == [path.stem[-1] for path in samples]
    assert 'format="litert_fp32"' in requests.get(f"{container.url}/metrics", timeout=30).text


def test_protocols_and_commands_agree(container: Container, image: Image, project: Path) -> None:
    sample = project / "samples" / "digit-7.png"
    uploaded = requests.post(
        f"{container.url}/api/predict", files={"files": sample.read_bytes()}, timeout=30
    ).json()["results"][0]
    rows = [{"b64": base64.b64encode(sample.read_bytes()).decode()}]
    body: dict[str, Any] = {"signature_name": "serve_bytes", "instances": rows}
    answer = requests.post(f"{container.url}/v1/models/{NAME}:predict", json=body, timeout=30).json()
    line = json.loads(said(image, "-m", "pipeline", "predict", "--json", "--top=1", "samples/digit-7.png"))
    assert uploaded["predicted"] == line["predictions"][0]["class"] == "7"
    assert max(answer["predictions"][0]) == uploaded["probability"]
    assert line["predictions"][0]["probability"] == pytest.approx(uploaded["probability"], abs=1e-6)


def test_large_uploads_need_no_file(container: Container) -> None:
    """Nothing can be written: who reads a form usually puts what is above 1 MB into a temporary file."""
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    buffer = io.BytesIO()
    Picture.fromarray(noise).save(buffer, "PNG")
    assert len(buffer.getvalue()) > 2 * MEGABYTE
    response = requests.post(f"{container.url}/api/predict", files={"files": buffer.getvalue()}, timeout=30)
    assert response.status_code == 200
    assert "predicted" in response.json()["results"][0]


def test_only_the_names_that_were_allowed_lead_to_it(container: Container) -> None:
    for host, status in (("localhost", 200), ("elsewhere.example", 403)):
        response = requests.get(f"{container.url}/api/model", headers={"Host": host}, timeout=30)
        assert response.status_code == status


def test_the_programs_of_the_guide_run_as_they_stand(
    container: Container, image: Image, project: Path, tmp_path: Path
) -> None:
    guide = (project / "docs" / "deploy.md").read_text(encoding="utf-8")
    samples = [str(project / "samples" / f"digit-{digit}.png") for digit in "37"]

    client = program(guide, "TensorFlow Serving", "python")
    arguments = [f"{container.url}/v1/models/{NAME}", *samples]
    answered = subprocess.run([sys.executable, "-c", client, *arguments], capture_output=True, text=True)
    assert [line.split()[:2] for line in answered.stdout.splitlines()] == [
        [samples[0], "3"],
        [samples[1], "7"],
    ]

    folder = image.path(f"exports/{NAME}/1")
    for file in (folder / "export.json", folder / "litert_dynamic_int8.tflite"):
        shutil.copy(file, tmp_path)
    shutil.copy(project / "pipeline" / "images" / "decoding.py", tmp_path)
    (tmp_path / "board.py").write_text(program(guide, "On a small board or a phone", "python"))
    on_board = [str(image.path("/venv/bin/python")), "board.py", *samples]
    seen = subprocess.run(on_board, cwd=tmp_path, env=beside(), capture_output=True, text=True)
    options = ("--json", "--top=1", "--format=litert_dynamic_int8")
    lines = said(image, "-m", "pipeline", "predict", *options, *samples).splitlines()
    best = [json.loads(line)["predictions"][0] for line in lines]
    assert [line.split()[1:] for line in seen.stdout.splitlines()] == [
        [each["class"], f"{each['probability']:.3f}"] for each in best
    ]
    assert [each["class"] for each in best] == ["3", "7"]


def test_the_commands_of_the_guide_run_as_they_stand(
    container: Container, image: Image, project: Path, tmp_path: Path
) -> None:
    guide = (project / "docs" / "deploy.md").read_text(encoding="utf-8")
    address = ("http://127.0.0.1:8000", container.url)
    upload = program(guide, "On your machine", "sh", 1).replace(*address)
    answer = subprocess.run(["sh", "-euc", upload], cwd=project, capture_output=True, text=True, check=True)
    results = json.loads(answer.stdout)["results"]
    assert [(result["file"], result["predicted"]) for result in results] == [
        ("digit-3.png", "3"),
        ("digit-7.png", "7"),
    ]

    *_, predict, _serve = program(guide, "On your machine", "sh", 2).splitlines()
    for name, target in (("serving", "/venv"), ("pipeline", "pipeline"), ("samples", "samples")):
        (tmp_path / name).symlink_to(image.path(target))
    (tmp_path / "exports" / "image-classifier").mkdir(parents=True)
    (tmp_path / "exports" / "image-classifier" / "3").symlink_to(image.path(f"exports/{NAME}/1"))
    table = subprocess.run(
        ["sh", "-euc", predict], cwd=tmp_path, env=beside(), capture_output=True, text=True, check=True
    )
    assert len([line for line in table.stdout.splitlines() if "digit-" in line]) == 10


def test_it_is_watched_and_ends_in_good_order(image: Image, container: Container) -> None:
    """The last test of this container."""
    assert container.healthcheck() == 0
    server = psutil.Process(container.process.pid)
    processes = [server, *server.children(recursive=True)]
    user = image.user[0] if os.geteuid() == 0 else os.geteuid()
    assert [process.uids().real for process in processes] == [user, user, user]
    shown = ", ".join(f"{process.memory_full_info().pss / MEGABYTE:.0f}" for process in processes)
    print(f"\nmemory of the server and of its 2 workers: {shown} MB")
    container.process.send_signal(signal.SIGTERM)
    output, errors = container.process.communicate(timeout=60)
    assert container.process.returncode == 0
    assert output.splitlines()[-1] == "The server has ended."
    assert "Traceback" not in errors
    assert container.healthcheck() != 0
    assert files(image) == container.files, "it has written something"


def test_what_is_not_mounted_is_asked_for(image: Image) -> None:
    exports = image.path("exports")
    hidden = exports.rename(exports.with_name("not mounted"))
    try:
        done = image.run(image.command)
    finally:
        hidden.rename(exports)
    assert "serve: No model has been published here yet." in done.stderr
    assert "to fix:   python -m pipeline export" in done.stderr
    assert done.returncode == 1


# --- helpers ----------------------------------------------------------------------------------------


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False


def said(image: Image, *arguments: str) -> str:
    done = image.run([str(image.path("/venv/bin/python")), *arguments])
    assert done.returncode == 0, done.stderr
    return done.stdout


def program(guide: str, section: str, language: str, number: int = 0) -> str:
    """A block of code in a section of the guide, counted from 0."""
    text = re.split(rf"^## {section}$", guide, flags=re.MULTILINE)[1]
    text = re.split(r"^## ", text, flags=re.MULTILINE)[0]
    blocks: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return blocks[number]


def beside() -> dict[str, str]:
    """For what uses the packages of a container, whose files are compared in the end: without byte code."""
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}


def files(image: Image) -> set[Path]:
    return set(image.path("/").rglob("*"))


def size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))
