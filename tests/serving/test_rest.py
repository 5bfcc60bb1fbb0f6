"""The REST API: what a program gets for its files."""

import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from pipeline.images.decoding import FORMATS
from pipeline.inference.exported_model import ExportedModel
from pipeline.inference.predictor import load_predictor
from tests.serving.conftest import StartServer
from tests.serving.live_server import LiveServer, encoded
from tests.serving.tiny_model import probabilities_of


def test_every_file_gets_its_classes_from_the_most_to_the_least_probable(server: LiveServer) -> None:
    response = server.upload(encoded(51), encoded(204, width=31, height=17, format_name="BMP"))
    assert response.status_code == 200
    answer = response.json()
    assert answer["model"] == {"name": "light", "version": 1}
    dark, padded = answer["results"]
    assert [row["name"] for row in dark["classes"]] == ["dark", "bright", "never"]
    assert [row["probability"] for row in dark["classes"]] == pytest.approx([0.8, 0.2, 0.0])
    assert (dark["file"], dark["predicted"]) == ("0.png", "dark")
    assert dark["probability"] == pytest.approx(0.8)
    # 31 x 17 becomes 8 x 4 (rounded), with 4 rows of black around it: half of 0.8 is bright.
    assert padded["predicted"] == "dark"
    assert padded["probability"] == pytest.approx(1 - probabilities_of(204)["bright"] / 2)


def test_a_broken_image_costs_its_own_row(server: LiveServer) -> None:
    response = server.upload(encoded(0), b"no image", encoded(255))
    assert response.status_code == 200
    first, broken, last = response.json()["results"]
    assert (first["predicted"], last["predicted"]) == ("dark", "bright")
    assert broken == {
        "file": "1.png",
        "status": 415,
        "error": f"not an image of an accepted format: none of {', '.join(FORMATS)}",
    }


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        pytest.param(b"<svg/>", 415, "not an image of an accepted format", id="another type"),
        pytest.param(b"", 422, "the file is empty", id="empty"),
        pytest.param(encoded(9, 300, 300)[:-40], 422, "cannot be decoded", id="cut off"),
        pytest.param(b"\x89PNG\r\n\x1a\nnonsense", 422, "header is damaged", id="a damaged header"),
    ],
)
def test_where_no_image_could_be_classified_the_status_says_so(
    server: LiveServer, data: bytes, status: int, reason: str
) -> None:
    response = server.upload(data)
    assert response.status_code == status
    (row,) = response.json()["results"]
    assert row["status"] == status
    assert reason in row["error"]


def test_a_file_that_is_two_things_is_read_as_the_image_it_is(server: LiveServer) -> None:
    archive = io.BytesIO(encoded(255))
    archive.seek(0, io.SEEK_END)
    with zipfile.ZipFile(archive, "a") as zipped:
        zipped.writestr("page.html", "<script>alert(1)</script>")
    response = server.upload(archive.getvalue())
    assert response.json()["results"][0]["predicted"] == "bright"


def test_a_name_comes_back_as_it_was_and_as_nothing_but_text(server: LiveServer) -> None:
    name = "<img src=x onerror=alert(1)>\u202e../../é.png"
    response = server.post("/api/predict", files=[("files", (name, encoded(0)))])
    assert response.json()["results"][0]["file"] == name
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "data", [encoded(204, 40, 40, "JPEG"), encoded(51, 3, 5), encoded(90, 64, 20, "WEBP")]
)
def test_probabilities_are_those_of_the_evaluation_path(
    server: LiveServer, exported: Path, data: bytes
) -> None:
    model = ExportedModel.load(exported)
    expected = load_predictor(model, exported, "onnx").predict(model.preprocessing.apply(data)[np.newaxis])[0]
    answer = server.upload(data).json()["results"][0]
    by_class = {row["name"]: row["probability"] for row in answer["classes"]}
    assert [by_class[name] for name in model.preprocessing.classes] == expected.tolist()


@pytest.mark.parametrize(
    ("options", "status", "reason"),
    [
        pytest.param({"json": {}}, 415, "expected multipart/form-data", id="no form"),
        pytest.param({"files": {"other": b"x"}}, 422, "no file in the field 'files'", id="another field"),
        pytest.param(
            {"data": b"x", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
            400,
            "the multipart form is damaged",
            id="not what it says",
        ),
        pytest.param(
            {"data": b"x", "headers": {"Content-Type": "multipart/form-data"}},
            400,
            "boundary",
            id="no boundary",
        ),
    ],
)
def test_a_request_that_cannot_be_read(
    server: LiveServer, options: dict[str, Any], status: int, reason: str
) -> None:
    response = server.post("/api/predict", **options)
    assert (response.status_code, set(response.json())) == (status, {"error"})
    assert reason in response.json()["error"]


def test_a_body_over_the_limit_is_refused_by_its_declared_size(start: StartServer) -> None:
    server = start(body_bytes=10_000)
    response = server.upload(b"\0" * 200_000)
    assert (response.status_code, response.json()) == (413, {"error": "the request has more than 0.01 MB"})
    assert server.upload(encoded(0)).status_code == 200


def test_a_body_over_the_limit_is_refused_while_it_arrives(start: StartServer) -> None:
    """A client that does not say how much it sends is not read to its end."""
    server = start(body_bytes=100_000)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
        while sent < 50_000_000:
            sent += 10_000
            yield b"\0" * 10_000

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    try:
        response = server.post("/api/predict", data=endless(), headers=headers)
    except requests.ConnectionError:  # it may have gone on sending into a closed connection
        pass
    else:
        assert response.status_code == 413
    assert sent < 10_000_000
    assert server.upload(encoded(0)).status_code == 200


def test_too_many_files(start: StartServer) -> None:
    server = start(images=3)
    assert server.upload(*[encoded(0)] * 3).status_code == 200
    response = server.upload(*[encoded(0)] * 4)
    assert (response.status_code, response.json()) == (413, {"error": "more than 3 files in one request"})
    began = time.monotonic()
    assert server.upload(*[b"x"] * 10_000).status_code == 413
    assert time.monotonic() - began < 5


def test_images_of_too_many_pixels_are_refused_by_their_header(start: StartServer) -> None:
    server = start(pixels=10_000)
    response = server.upload(encoded(0, 101, 100))
    assert response.status_code == 422
    assert response.json()["results"][0]["error"] == (
        "the image cannot be decoded: 101 x 100 pixels are more than 10,000"
    )
    assert server.upload(encoded(0, 100, 100)).status_code == 200


def test_a_bomb_is_refused_at_once(server: LiveServer) -> None:
    """900 million pixels in 110 kB."""
    buffer = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(buffer, format="PNG", compress_level=9)
    began = time.monotonic()
    response = server.upload(buffer.getvalue())
    assert response.status_code == 422
    assert time.monotonic() - began < 1


def test_the_model_is_described(server: LiveServer) -> None:
    response = server.get("/api/model")
    model = response.json()
    assert (model["name"], model["version"], model["format"]) == ("light", 1, "onnx")
    assert model["classes"] == ["bright", "dark", "never"]
    assert model["commands"] == [
        "python -m pipeline lineage models:/light/1",
        f"git show --stat {'0' * 40}",
    ]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/api/predict", 405)]
)
def test_what_is_not_there(server: LiveServer, method: str, path: str, status: int) -> None:
    response = requests.request(method, server.url + path, timeout=10)
    assert (response.status_code, set(response.json())) == (status, {"error"})


def test_the_description_names_every_route_and_its_errors(server: LiveServer) -> None:
    description = server.get("/openapi.json").json()
    assert set(description["paths"]) == {
        "/api/predict",
        "/api/model",
        "/v1/models/{name}",
        "/v1/models/{name}/metadata",
        "/v1/models/{name}:predict",
        "/v1/models/{name}/versions/{version}",
        "/v1/models/{name}/versions/{version}/metadata",
        "/v1/models/{name}/versions/{version}:predict",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    predict = description["paths"]["/api/predict"]["post"]
    assert set(predict["responses"]) >= {"200", "401", "408", "413", "415", "422", "429", "503"}
    form = predict["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["files"]["items"] == {"type": "string", "format": "binary"}
    # FastAPI would describe its own validation errors, which this server never sends.
    assert "HTTPValidationError" not in json.dumps(description)
