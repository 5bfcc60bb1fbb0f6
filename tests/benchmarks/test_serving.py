"""Serving: what each server is sent, and ours under a moment's load."""

import base64
import json
from pathlib import Path

import pytest

from benchmarks.serving import OTHERS, Protocol, made_image
from tests.benchmarks.conftest import Benchmark
from tests.serving.digits_model import export_digits


def test_a_form_has_the_image_and_the_other_files() -> None:
    content_type, body = Protocol("/ready", "/predict", "files").request(b"an image", b"another file")
    assert content_type == "multipart/form-data; boundary=b"
    assert body.count(b'name="files"') == 2
    assert body.endswith(b"another file\r\n--b--\r\n")


def test_mlflow_is_sent_the_same_image() -> None:
    image = made_image(8)
    content_type, body = OTHERS["mlflow"].request(image)
    assert content_type == "application/json"
    assert base64.b64decode(json.loads(body)["dataframe_split"]["data"][0][0]) == image


@pytest.mark.slow
def test_the_whole_of_it(benchmark: Benchmark, tmp_path: Path) -> None:
    folder = export_digits(tmp_path)
    printed = benchmark("serving", str(folder), "--rounds=1", "--seconds=0.2", "--clients=3")
    assert "3 clients: p50" in printed
    ratios = [line.split()[-2] for line in printed.splitlines() if line.startswith(("shipped", "single"))]
    assert ratios[0] == "1.00"
    assert len(ratios) == 2
